/** From CommonJS: Node 20.19 and newer take an ES module by `require`. */
import vista = require("vista-ckpt");

const state = new vista.StateDict([["bias", vista.tensorFrom(new BigInt64Array([1n, -2n]), [2])]]);
vista.saveCheckpoint(state, "bias.bin").then(async () => {
  const ckpt = await vista.openCheckpoint("bias.bin");
  console.log(await ckpt.read("bias"));
  await ckpt.close();
});
