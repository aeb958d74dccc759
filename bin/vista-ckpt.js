#!/usr/bin/env node
import { main } from "../dist/checkpoint/cli/vista-ckpt.js";

await main(process.argv);
