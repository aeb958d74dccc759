#!/usr/bin/env node
import { load } from "./load.js";

const { main } = await load("vista-train", "../dist/train/cli/vista-train.js");
await main(process.argv);
