#!/usr/bin/env node
require("./load.js")("vista-data", "../dist/dataset/cli/vista-data.js");
