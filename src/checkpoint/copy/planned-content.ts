/** The content of files of which there are thousands, with thousands of tensors each. */
import { checkPlan } from "./check-plan.js";
import { contentOf, type FileContent, lengthOf, type OutputPart, tensorsIn } from "./parts.js";

/** Returns the content of parts that are planned twice: now for what must be known ahead, and again when they are written. */
export async function plannedContent(plan: () => Promise<readonly OutputPart[]>): Promise<FileContent> {
  const { length, copied } = contentOf(await plan());
  const parts = async () => {
    const planned = await plan();
    const again = lengthOf(planned);
    if (again !== length)
      throw new Error(`a file that was planned with ${length} bytes, and then with ${again}`);
    checkPlan(tensorsIn(planned));
    return planned;
  };
  return { length, copied, tensors: undefined, parts };
}
