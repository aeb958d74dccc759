/** The tools for checkpoints that the launcher uses. They are loaded when first needed, since most commands need none. */
type Tools = typeof import("./checkpoint-tools.js");

/** Returns a tool that is loaded when it is called. */
function later<Name extends Exclude<keyof Tools, symbol>>(name: Name): Tools[Name] {
  const tool = async (...given: never[]) => {
    const tools = await import("./checkpoint-tools.js");
    return (tools[name] as (...given: never[]) => Promise<unknown>)(...given);
  };
  return tool as Tools[Name];
}

export const listKeys = later("listKeys");
export const readFolder = later("readFolder");
export const verify = later("verify");
export const merge = later("merge");
export const reshard = later("reshard");
export const toSafetensors = later("toSafetensors");
