#!/usr/bin/env node
import { main } from "../dist/train/cli/vista-train.js";

await main(process.argv);
