#!/usr/bin/env node
import { main } from "../dist/cli/vista-data.js";

await main(process.argv);
