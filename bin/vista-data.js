#!/usr/bin/env node
import { load } from "./load.js";

const { main } = await load("vista-data", "../dist/dataset/cli/vista-data.js");
await main(process.argv);
