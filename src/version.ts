/**
 * Which failover this is. `scripts/compile.ts` writes the commit into its copy of `build.json`; here it
 * is empty, and the program says that it runs from source.
 */
import deno from "../deno.json" with { type: "json" };
import build from "./build.json" with { type: "json" };

export const VERSION: string = deno.version;

/** One line for `--version`. */
export function versionText(): string {
  const origin = build.commit === "" ? "from source" : `commit ${build.commit}`;
  const { deno, v8 } = Deno.version;
  return `failover ${VERSION} (${origin}, Deno ${deno}, V8 ${v8}, ${Deno.build.target})`;
}
