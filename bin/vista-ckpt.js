#!/usr/bin/env node
import { main } from "../dist/cli/vista-ckpt.js";

await main(process.argv);
