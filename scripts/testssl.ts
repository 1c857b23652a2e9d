/**
 * `deno task testssl`: examines the TLS toward clients with testssl.sh (Debian's package), which takes some minutes,
 * and prints each finding that is not good. Findings about the certificate are left out: it is made for the test.
 * It uses the loopback only. Exit code 1 if there is a finding, 2 if testssl.sh is missing.
 */
import { unusedPort } from "../src/base/testing/ports.ts";
import { inTempFolder } from "../src/base/testing/temp_folder.ts";
import { writeCertificate } from "../src/net/testing/certificate.ts";
import { isInstalled } from "../tests/harness/scenario.ts";
import { startWebProxy } from "../tests/harness/web_proxy.ts";

/** One line of the report of testssl.sh. */
export interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

const GOOD = new Set(["OK", "INFO", "DEBUG"]);
/** What is not about the proxy: the certificate, its zone in DNS, the answer of the upstream, and the tool itself. */
const NOT_OURS =
  /^(cert_|DNS_CAA|security_headers|engine_problem|scanTime|overall_grade|grade_cap)/;
/**
 * Its client leaves before the ticket of TLS 1.3 has come, so it finds the same about every server that has TLS 1.3;
 * `tests/scenarios/tls_options_test.ts` resumes sessions.
 */
const NOT_TESTED = new Set(["sessionresumption_ticket"]);

/** The findings that are about the proxy and not good. */
export function badFindings(all: readonly Finding[]): readonly Finding[] {
  return all.filter(({ id, severity }) =>
    !GOOD.has(severity) && !NOT_OURS.test(id) && !NOT_TESTED.has(id)
  );
}

async function main(): Promise<number> {
  const program = ["testssl", "testssl.sh"].find(isInstalled);
  if (program === undefined) {
    console.error("testssl.sh is not installed (Debian: apt-get install testssl.sh)");
    return 2;
  }
  let code = 1;
  await inTempFolder(async (folder) => {
    const { certPath, keyPath } = await writeCertificate(folder);
    const flags = { "tls-cert": certPath, "tls-key": keyPath, hsts: "max-age=31536000" };
    await using upstream = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      () => new Response("hello"),
    );
    const primary = { url: `http://127.0.0.1:${upstream.addr.port}` };
    const listen = `127.0.0.1:${unusedPort()}`;
    await using _proxy = await startWebProxy({ primary, flags, listen });
    const report = `${folder}/report.json`;
    const target = `localhost:${listen.split(":")[1]}`;
    const args = ["--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1"];
    await new Deno.Command(program, { args: [...args, "--jsonfile", report, target] }).output();
    const all = JSON.parse(await Deno.readTextFile(report)) as Finding[];
    const bad = badFindings(all);
    for (const { severity, id, finding } of bad) console.log(`${severity} ${id}: ${finding}`);
    console.log(`${all.length} findings, ${bad.length} of them not good`);
    if (bad.length === 0 && all.length > 100) code = 0;
  });
  return code;
}

if (import.meta.main) Deno.exit(await main());
