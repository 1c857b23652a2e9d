/** Prometheus' own linter of expositions, `promtool check metrics`, of the Debian package prometheus. */

/** Why it cannot be used; undefined if it can. */
export const NO_PROMTOOL: string | undefined = whyNone();

function whyNone(): string | undefined {
  try {
    const { success } = new Deno.Command("promtool", {
      args: ["--version"],
      stdout: "null",
      stderr: "null",
    }).outputSync();
    return success ? undefined : "promtool --version fails";
  } catch {
    return "promtool is not installed";
  }
}

/** The errors that the linter finds in an exposition; empty if there are none. */
export async function lint(exposition: string): Promise<string> {
  const child = new Deno.Command("promtool", {
    args: ["check", "metrics"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(exposition));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return success ? "" : said || "promtool failed without a message";
}
