/** Gives the documents of `--generate` to the programs that read them. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { documentText } from "./documents.ts";
import { envOf, flagOf, KEYS, optionOf, OPTIONS } from "./options.ts";
import { testWithPrograms } from "../../tests/harness/scenario.ts";
import { loadWith } from "./testing/config.ts";
import { inTempFolder } from "../base/testing/temp_folder.ts";

async function run(program: string, args: string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await new Deno.Command(program, { args, env }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out: out!, err: err! };
}

async function withFile(text: string, use: (path: string) => Promise<void>): Promise<void> {
  await inTempFolder(async (folder) => {
    const path = `${folder}/document`;
    await Deno.writeTextFile(path, text);
    await use(path);
  });
}

Deno.test("every document is printed by a flag that needs no other option", () => {
  const names = OPTIONS.generate.kind.metavar.split("|");
  assertEquals(names.length, 7);
  for (const name of names) {
    const loaded = loadWith(["--generate", name]);
    assert(loaded.kind === "generate" && loaded.document === name, name);
    assert(documentText(loaded.document).length > 500, name);
  }
  const loaded = loadWith(["--generate", "pdf"]);
  assertEquals(loaded.kind === "errors" && loaded.lines, [
    'Cannot use "pdf" as generate: expected bash, zsh, fish, man, tcp-sample, http-sample or schema (from flag --generate)',
  ]);
});

Deno.test("completions of every shell and the manual page know every flag", () => {
  for (const key of KEYS) {
    const flag = flagOf(key);
    const { short } = optionOf(key);
    assert(new RegExp(`[ "|]${flag}[ "|)]`).test(documentText("bash")), `bash ${flag}`);
    assert(new RegExp(`[)*]${flag}=?\\[`).test(documentText("zsh")), `zsh ${flag}`);
    assertStringIncludes(
      documentText("fish"),
      `${short === undefined ? "" : ` -s ${short}`} -l ${flag.slice(2)} `,
    );
    assertStringIncludes(documentText("man"), `\\fB${flag.replaceAll("-", "\\-")}\\fR`);
    for (const name of [envOf(key), optionOf(key).env]) {
      if (name !== undefined) assertStringIncludes(documentText("man"), `.B ${name}\n`);
    }
  }
});

/** What bash offers after these words. */
async function bashOffers(...words: string[]): Promise<string[]> {
  let offers: string[] = [];
  await withFile(documentText("bash"), async (path) => {
    const script = `source ${path}; COMP_WORDS=(failover "$@"); COMP_CWORD=$#; _failover; ` +
      `printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { code, out, err } = await run("bash", ["-c", script, "bash", ...words]);
    assertEquals([code, err], [0, ""]);
    offers = out.split("\n").filter((line) => line !== "");
  });
  return offers;
}

testWithPrograms("bash completes flags, words and files, and nothing else", ["bash"], async () => {
  assertEquals(await bashOffers("--check-s"), ["--check-script-timeout", "--check-status"]);
  assertEquals(await bashOffers("--relay", "s"), ["stream", "splice"]);
  assertEquals(await bashOffers("--relay", "=", "st"), ["stream"]);
  assertEquals(await bashOffers("--relay", "="), ["auto", "stream", "splice"]);
  const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
  await Deno.writeTextFile(`${folder}/a script.sh`, "");
  assertEquals(await bashOffers("-c", `${folder}/a`), [`${folder}/a script.sh`]);
  await Deno.remove(folder, { recursive: true });
  assertEquals(await bashOffers("--hosts", ""), []);
});

for (const shell of ["zsh", "fish"] as const) {
  testWithPrograms(`${shell} reads its completions without complaint`, [shell], async () => {
    await withFile(documentText(shell), async (path) => {
      const { code, err } = await run(shell, ["-n", path]);
      assertEquals([code, err], [0, ""]);
    });
  });
}

testWithPrograms("man shows the manual page without a warning", ["man"], async () => {
  await withFile(documentText("man"), async (path) => {
    const { code, out, err } = await run("man", ["--warnings=all", "-l", path], {
      MANWIDTH: "80",
      LC_ALL: "C.UTF-8",
    });
    assertEquals([code, err], [0, ""]);
    assertStringIncludes(out, "--check-interval TIME");
    assertStringIncludes(out, "FAILOVER_CHECK_INTERVAL");
  });
});
