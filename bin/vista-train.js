#!/usr/bin/env node
require("./load.js")("vista-train", "../dist/train/cli/vista-train.js");
