#!/usr/bin/env node
import { load } from "./load.js";

const { main } = await load("vista-ckpt", "../dist/checkpoint/cli/vista-ckpt.js");
await main(process.argv);
