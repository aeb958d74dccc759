#!/usr/bin/env node
require("./load.js")("vista-ckpt", "../dist/checkpoint/cli/vista-ckpt.js");
