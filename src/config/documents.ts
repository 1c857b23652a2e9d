/** The documents that `--generate` prints, made from the table of options. Loaded only on `--generate`. */
import { bashCompletion, fishCompletion, zshCompletion } from "./completions.ts";
import { manualPage } from "./manual.ts";
import type { DocumentName } from "./options.ts";
import { jsonSchema, sampleYaml } from "./reference.ts";

const DOCUMENTS: Readonly<Record<DocumentName, () => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
  man: manualPage,
  "tcp-sample": () => sampleYaml("tcp"),
  "http-sample": () => sampleYaml("http"),
  schema: () => JSON.stringify(jsonSchema(), null, 2),
};

/** The text of the document with this name, as `--generate NAME` prints it. */
export function documentText(name: DocumentName): string {
  return DOCUMENTS[name]().trimEnd();
}
