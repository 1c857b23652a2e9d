import { assertEquals } from "@std/assert";
import type { PathInfo } from "./scripts_dir.ts";
import { errorsOf, FOLDER, httpOf, loadWith, tcpOf, warningsOf } from "./testing/config.ts";

const TCP = ["-H", "a:1,b:2", "-p", "5432"];
const env = { FAILOVER_SCRIPTS_DIR: "/etc/flopsy/" };
const script: PathInfo = { isFile: true, isDirectory: false, mode: 0o100755 };

Deno.test("a folder of scripts gives the check and the triggers, and that is logged", () => {
  const infos = { "/etc/flopsy/check-host.sh": script, "/etc/flopsy/triggers.d": FOLDER };
  const { checkHost, onFailover, origins } = tcpOf(TCP, { env, infos });
  assertEquals([checkHost, onFailover], ["/etc/flopsy/check-host.sh", "/etc/flopsy/triggers.d"]);
  assertEquals([origins.checkHost, origins.onFailover], [
    "environment FAILOVER_SCRIPTS_DIR",
    "environment FAILOVER_SCRIPTS_DIR",
  ]);
  assertEquals(
    httpOf(["--primary=http://p", "--backup=http://b"], { env, infos }).checkHost,
    checkHost,
  );
});

Deno.test("a folder of scripts that is empty changes nothing", () => {
  const infos = { "/etc/flopsy": FOLDER };
  const { checkHost, onFailover } = tcpOf(TCP, { env, infos });
  assertEquals([checkHost, onFailover], [undefined, undefined]);
  assertEquals(warningsOf(TCP, { env, infos }), []);
});

Deno.test("a file and a flag override the folder of scripts", () => {
  const infos = { "/etc/flopsy/check-host.sh": script, "/etc/flopsy/triggers.d": FOLDER };
  const files = { f: "check_host: ./from-file\n" };
  const tcp = tcpOf([...TCP, "--config=f", "-f", "./from-flag"], { env, infos, files });
  assertEquals([tcp.checkHost, tcp.onFailover], ["./from-file", "./from-flag"]);
});

Deno.test("every service of a file gets the scripts, unless it names its own", () => {
  const infos = { "/etc/flopsy/check-host.sh": script };
  const services =
    "services:\n  a: {hosts: x:1, port: 1}\n  b: {hosts: x:2, port: 2, check_host: own}\n";
  const loaded = loadWith(["--config=f"], { env, infos, files: { f: services } });
  assertEquals(
    loaded.kind === "run" && loaded.config.services.map((each) => each.checkHost),
    ["/etc/flopsy/check-host.sh", "own"],
  );
});

Deno.test("a script that can't be used is left out with one line", () => {
  const plain: PathInfo = { ...script, mode: 0o100644 };
  const infos = { "/etc/flopsy/check-host.sh": plain, "/etc/flopsy/triggers.d": script };
  assertEquals(tcpOf(TCP, { env, infos }).checkHost, undefined);
  assertEquals(warningsOf(TCP, { env, infos }), [
    "/etc/flopsy/check-host.sh is not used: it is not executable (chmod +x it) (from environment FAILOVER_SCRIPTS_DIR)",
    "/etc/flopsy/triggers.d is not used: it is not a folder (from environment FAILOVER_SCRIPTS_DIR)",
  ]);
});

Deno.test("on a system without file modes every file counts as executable", () => {
  const infos = { "/etc/flopsy/check-host.sh": { ...script, mode: null } };
  assertEquals(tcpOf(TCP, { env, infos }).checkHost, "/etc/flopsy/check-host.sh");
});

Deno.test("a folder of scripts that is missing, or not a folder, is an error", () => {
  assertEquals(errorsOf([...TCP, "--scripts-dir=/typo"]), [
    'Cannot use "/typo" as scripts_dir: there is no such folder (from flag --scripts-dir)',
  ]);
  assertEquals(errorsOf(TCP, { env, infos: { "/etc/flopsy": script } }), [
    'Cannot use "/etc/flopsy/" as scripts_dir: it is not a folder (from environment FAILOVER_SCRIPTS_DIR)',
  ]);
});
