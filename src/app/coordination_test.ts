import { assert, assertEquals, assertRejects } from "@std/assert";
import { configOf, errorsOf, warningsOf } from "../config/testing/config.ts";
import { ManualClock, realClock } from "../base/clock.ts";
import { unusedPort } from "../base/testing/ports.ts";
import { EtcdError } from "../cluster/etcd.ts";
import { EtcdClient } from "../cluster/etcd_client.ts";
import { withTestDeadline } from "../../tests/harness/test_deadline.ts";
import { POLICY } from "../failover/testing/policy.ts";
import { START } from "../failover/testing/states.ts";
import { TempFolder } from "../base/testing/temp_folder.ts";
import { certificateFor } from "../net/testing/certificate.ts";
import { Resolver } from "../net/resolve.ts";
import { checkCoordinatorFiles, coordinationOf, ProcessNames } from "./coordination.ts";

const SERVICE = ["--hosts=a:1", "--port=1"];
const PLACE = "--coordinator=etcd://127.0.0.1:1,127.0.0.1:2/prod";

const SILENT_SERVICE = {
  state: () => START,
  policy: () => POLICY,
  post: () => {},
  order: () => {},
  runsTriggers: () => false,
  busy: () => Promise.resolve(0),
};

Deno.test("without a coordinator there is nothing to join", async () => {
  const { process } = configOf(SERVICE);
  assertEquals(await coordinationOf(process, "1", "run"), undefined);
  assertEquals(await checkCoordinatorFiles(process), []);
});

Deno.test("each service is a member with a name of its own, which begins with that of the host", async () => {
  const { process } = configOf([...SERVICE, PLACE]);
  const clock = new ManualClock();
  const coordinate = (await coordinationOf(process, "1", "run"))!;
  const names: string[] = [];
  for (const name of ["db", "web"]) {
    const coordinator = coordinate(SILENT_SERVICE, name, () => {});
    names.push(coordinator.report().instance);
    await coordinator[Symbol.asyncDispose]();
  }
  assert(/^[\w.-]+-run$/.test(names[0]!), names[0]);
  assert(names[0] !== names[1]);
  assertEquals(clock.pending, 0);
});

Deno.test("all services of a process share one log-in", async () => {
  const COUNT = 8;
  const header = { cluster_id: "7", revision: "1", raft_term: "1" };
  let logins = 0;
  const tokens: (string | null)[] = [];
  const haveJoined = Promise.withResolvers<void>();
  const answers: Record<string, () => object> = {
    "/v3/auth/authenticate": () => ({ header, token: `t${++logins}` }),
    "/v3/lease/grant": () => ({ header, ID: "5", TTL: "60" }),
    "/v3/kv/txn": () => ({ header, succeeded: true }),
    "/v3/watch": () => ({ result: { header, canceled: true } }),
  };
  const listen = { hostname: "127.0.0.1", port: 0, onListen: () => {} };
  await using etcd = Deno.serve(listen, ({ url, headers }) => {
    const { pathname } = new URL(url);
    if (pathname === "/v3/lease/grant") tokens.push(headers.get("authorization"));
    if (tokens.length === COUNT) haveJoined.resolve();
    return Response.json(answers[pathname]?.() ?? { header });
  });
  await using folder = await TempFolder.make();
  const password = await folder.write("password", "geheim");
  const { process } = configOf([
    ...[...SERVICE, `--coordinator=etcd://127.0.0.1:${etcd.addr.port}/prod`],
    ...["--coordinator-lease=1h", "--coordinator-user=app"],
    `--coordinator-password-file=${password}`,
  ]);
  const coordinate = (await coordinationOf(process, "1", "run"))!;
  await using stack = new AsyncDisposableStack();
  for (let number = 0; number < COUNT; number++) {
    stack.use(coordinate(SILENT_SERVICE, `db${number}`, () => {})).begin();
  }
  await withTestDeadline("all services to join", haveJoined.promise);
  assertEquals(logins, 1);
  assertEquals([...new Set(tokens)], ["t1"]);
});

Deno.test("a file of the coordinator that cannot be used is an error of one line", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/empty`, "\n");
    const { process } = configOf([
      ...[...SERVICE, PLACE, "--coordinator-user=app"],
      ...[`--coordinator-password-file=${folder}/empty`, `--coordinator-ca=${folder}`],
      ...[`--coordinator-cert=${folder}/none`, `--coordinator-key=${folder}/none`],
    ]);
    assertEquals(await checkCoordinatorFiles(process), [
      `Cannot use "${folder}/empty" as coordinator_password_file: it is empty (from flag --coordinator-password-file)`,
      `Cannot use "${folder}" as coordinator_ca: it is a directory (from flag --coordinator-ca)`,
      `Cannot use "${folder}/none" as coordinator_cert: there is no such file (from flag --coordinator-cert)`,
      `Cannot use "${folder}/none" as coordinator_key: there is no such file (from flag --coordinator-key)`,
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("certificates of the coordinator that are none are errors of one line", async () => {
  await using folder = await TempFolder.make();
  const [one, other] = [await certificateFor("etcd"), await certificateFor("etcd")];
  const file = (name: string, text: string) => folder.write(name, text);
  const errors = async (files: Readonly<Record<string, string>>) => {
    const flags = Object.entries(files).map(([name, path]) => `--coordinator-${name}=${path}`);
    const { process } = configOf([...SERVICE, PLACE, ...flags]);
    return (await checkCoordinatorFiles(process)).map((line) => line.replaceAll(folder.path, ""));
  };
  const [ca, junk] = [await file("ca", one.cert), await file("junk", "no PEM\n")];
  const [cert, key] = [await file("cert", one.cert), await file("key", one.key)];
  const foreign = await file("foreign", other.key);
  assertEquals(await errors({ ca, cert, key }), []);
  assertEquals(await errors({ ca: junk }), [
    'Cannot use "/junk" as coordinator_ca: it holds no certificate (PEM) (from flag --coordinator-ca)',
  ]);
  assertEquals(await errors({ cert: junk, key: junk }), [
    'Cannot use "/junk" as coordinator_cert: it holds no certificate (PEM) (from flag --coordinator-cert)',
    'Cannot use "/junk" as coordinator_key: it holds no private key (PEM) (from flag --coordinator-key)',
  ]);
  assertEquals(await errors({ cert, key: foreign }), [
    'Cannot use "/foreign" as coordinator_key: it does not belong to the certificate in "/cert" (from flag --coordinator-key)',
  ]);
});

Deno.test("options of the coordinator that lack each other are errors, and warnings without it", () => {
  assertEquals(errorsOf([...SERVICE, PLACE, "--coordinator-user=app"]), [
    "Cannot use coordinator_user without coordinator_password_file (from flag --coordinator-user)",
  ]);
  assertEquals(errorsOf([...SERVICE, PLACE, "--coordinator-key=k"]), [
    "Cannot use coordinator_key without coordinator_cert (from flag --coordinator-key)",
  ]);
  const warnings = warningsOf([
    ...[...SERVICE, "--coordinator-lease=6s", "--without-coordinator=decide-alone"],
  ]);
  assertEquals(warnings, [
    "coordinator_lease does nothing without coordinator",
    "without_coordinator does nothing without coordinator",
  ]);
});

Deno.test("an endpoint given by its address is called after each failure, and asks no name service", async () => {
  const names = new ProcessNames(new Resolver(realClock), realClock);
  const endpoints = [`https://127.0.0.1:${unusedPort()}`];
  const tls = () => Promise.resolve({});
  const settings = { endpoints, prefix: "/failover/v1/test/db/", tls, names, callMs: 20_000 };
  using client = new EtcdClient(settings, realClock);
  for (let calls = 0; calls < 4; calls++) {
    await assertRejects(() => client.read(), EtcdError, "refused");
  }
  for (const address of ["127.0.0.1", "::1"]) assert(names.mayLookUp(address), address);
});

Deno.test("a name that is not answered is looked up by few connections at a time", async () => {
  const clock = new ManualClock();
  let answer: readonly string[] = ["10.0.0.1"];
  const names = new ProcessNames(new Resolver(clock, () => Promise.resolve(answer)), clock);
  assertEquals(await names.addressesOf("etcd"), ["10.0.0.1"]);
  const allowed = () => Array.from({ length: 4 }, () => names.mayLookUp("etcd"));
  assertEquals(allowed(), [true, true, true, true]);
  answer = [];
  names.tried("etcd", "10.0.0.1", false);
  await clock.advance(1_000);
  assertEquals(await names.addressesOf("etcd"), ["10.0.0.1"]);
  assertEquals(allowed(), [true, true, false, false]);
  await clock.advance(10_000);
  assertEquals(allowed(), [true, true, false, false]);
  answer = ["10.0.0.1"];
  await names.addressesOf("etcd");
  assertEquals(allowed(), [true, true, true, true]);
});
