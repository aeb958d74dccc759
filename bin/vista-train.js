#!/usr/bin/env node
import { main } from "../dist/cli/vista-train.js";

await main(process.argv);
