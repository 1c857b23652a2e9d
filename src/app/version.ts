/**
 * The version of the program. `scripts/compile.ts` writes the commit into its copy of `build.json`; in the
 * sources it is empty, and the program reports that it runs from source.
 */
import deno from "../../deno.json" with { type: "json" };
import build from "../build.json" with { type: "json" };

/** The version, such as `1.2.3`. */
export const VERSION: string = deno.version;

/** The line of `--version`, with the relay engine that `--relay auto` chooses on this machine. */
export async function versionText(): Promise<string> {
  const { unsupportedReason } = await import("./threads.ts");
  const origin = build.commit === "" ? "from source" : `commit ${build.commit}`;
  const engine = unsupportedReason() === undefined ? "splice" : "stream";
  const facts = [origin, `Deno ${Deno.version.deno}`, Deno.build.target, `relay engine ${engine}`];
  return `failover ${VERSION} (${facts.join(", ")})`;
}
