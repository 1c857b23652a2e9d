/**
 * `deno task h2spec`: the cases of h2spec (github.com/summerwind/h2spec) against HTTP mode over TLS, and, where they
 * are installed, against nginx and HAProxy beside it. It uses the loopback only. Exit code 1 if a case fails with our
 * server, 2 if a program is missing.
 */
import { unusedPort } from "../src/base/testing/ports.ts";
import { inTempFolder } from "../src/base/testing/temp_folder.ts";
import { isInstalled } from "../tests/harness/scenario.ts";
import { startHttpsProxy } from "../tests/bench/https_proxies.ts";

/** How many cases passed, were skipped and failed. */
export interface Cases {
  readonly tests: number;
  readonly passed: number;
  readonly skipped: number;
  readonly failed: number;
}

/** Reads the last line of what h2spec prints; undefined if it has not come to its end. */
export function casesIn(text: string): Cases | undefined {
  const found = /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/.exec(text);
  if (found === null) return undefined;
  const [tests, passed, skipped, failed] = found.slice(1).map(Number);
  return { tests: tests!, passed: passed!, skipped: skipped!, failed: failed! };
}

async function examine(name: string, folder: string, upstreamPort: number): Promise<Cases> {
  const { port, program } = await startHttpsProxy(name, folder, upstreamPort, []);
  await using _program = program;
  const args = ["-t", "-k", "-h", "127.0.0.1", "-p", `${port}`];
  const { stdout } = await new Deno.Command("h2spec", { args }).output();
  const text = new TextDecoder().decode(stdout);
  const cases = casesIn(text);
  if (cases === undefined) throw new Error(`h2spec has not come to its end: ${text.slice(-500)}`);
  return cases;
}

async function main(): Promise<number> {
  for (const program of ["h2spec", "openssl"]) {
    if (isInstalled(program)) continue;
    console.error(`${program} is not installed`);
    return 2;
  }
  const handler = () => new Response("hello");
  const hostname = "127.0.0.1";
  await using upstream = Deno.serve({ hostname, port: unusedPort(), onListen() {} }, handler);
  let code = 0;
  await inTempFolder(async (folder) => {
    await Deno.chmod(folder, 0o755);
    for (const name of ["failover", "nginx", "haproxy"]) {
      if (name !== "failover" && !isInstalled(name) && !isInstalled(`/usr/sbin/${name}`)) continue;
      const { tests, passed, failed } = await examine(name, folder, upstream.addr.port);
      console.log(`${name}: ${passed} of ${tests} passed, ${failed} failed`);
      if (name === "failover" && failed > 0) code = 1;
    }
  });
  return code;
}

if (import.meta.main) Deno.exit(await main());
