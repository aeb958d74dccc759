#!/usr/bin/env node
import { main } from "../dist/dataset/cli/vista-data.js";

await main(process.argv);
