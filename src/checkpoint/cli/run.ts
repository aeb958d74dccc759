/** Exports what the commands do that write one state dict: one file of the bundle, which is loaded when one of them runs. */
export { merge } from "./run-merge.js";
export { toSt } from "./run-to-st.js";

import "./late-optimising.js";
