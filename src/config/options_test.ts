import { assert, assertEquals } from "@std/assert";
import { ConfigError } from "../base/config_error.ts";
import {
  type Config,
  envOf,
  flagOf,
  type HttpConfig,
  type Key,
  KEYS,
  optionOf,
  type TcpConfig,
  yamlKeyOf,
} from "./options.ts";
import { defaultOf, isFor, type Mode } from "./rows.ts";
import { type ConfigFixture, configOf, FOLDER, loadWith } from "./testing/config.ts";

/** For each metavar a text that is not the default of any option. */
const SAMPLES: Readonly<Record<string, string>> = {
  "": "on",
  "ADDR:PORT": "127.0.0.1:7777",
  "CIDR,…": "10.0.0.0/8,2001:db8::1",
  "CODES": "200-299,404",
  "CODES,…": "404,502-504",
  "HOST:PORT,…": "one.example:1111,[::1]:2222,unix:/run/three",
  "MODE": "0640",
  "N": "77",
  "N|auto": "3",
  "NAME": "orders",
  "PATH": "/some/where",
  "SIZE": "300KB",
  "SIZE|TIME": "16MB",
  "TIME": "1m17s",
  "URL": "https://sample.example/base",
  "WHEN": "45s",
  "max-age=SECONDS": "max-age=300; includeSubDomains",
  "etcd://HOST:PORT,…/CLUSTER": "etcd://10.0.0.1:2379,e2.example:2379/prod",
  "on|off": "off",
};

function sampleOf(key: Key, mode: Mode): string {
  const { kind } = optionOf(key);
  const words = kind.metavar.split("|").filter((word) => word !== defaultOf(optionOf(key), mode));
  return SAMPLES[kind.metavar] ?? words[0]!;
}

const CASES = KEYS.filter((key) => optionOf(key).scope !== "command").flatMap((key) =>
  (["tcp", "http"] as const).filter((mode) => isFor(optionOf(key), mode)).map((mode) => ({
    key,
    mode,
    text: sampleOf(key, mode),
  }))
);

/** The options that a mode requires, without the one that the case itself gives. */
function needed(key: Key, mode: Mode): [Key, string][] {
  const all: [Key, string][] = mode === "tcp"
    ? [["hosts", "a:1"], ["bind", "b:2"]]
    : [["primary", "http://p"]];
  const target = optionOf(key).writes?.[mode] ?? key;
  const partners: Partial<Record<Key, [Key, string]>> = {
    tlsCert: ["tlsKey", "k"],
    tlsKey: ["tlsCert", "c"],
    clientCa: ["tlsCert", "c"],
    redirectHttp: ["tlsCert", "c"],
    hsts: ["tlsCert", "c"],
    upstreamCert: ["upstreamKey", "k"],
    upstreamKey: ["upstreamCert", "c"],
    coordinatorUser: ["coordinatorPasswordFile", "p"],
    coordinatorPasswordFile: ["coordinatorUser", "u"],
    coordinatorCert: ["coordinatorKey", "k"],
    coordinatorKey: ["coordinatorCert", "c"],
    promote: ["check", "redis"],
  };
  const partner = partners[key];
  const others = partner === undefined ? [] : [partner];
  return [...all.filter(([other]) => other !== target), ...others];
}

function neededFlags(key: Key, mode: Mode): string[] {
  return needed(key, mode).map(([other, text]) => `${flagOf(other)}=${text}`);
}

/** The value that an option got, as text, and its origin. */
function valueOf(
  config: Config,
  key: Key,
  mode: Mode,
): { text: string; origin: string | undefined } {
  const target = optionOf(key).writes?.[mode] ?? key;
  const part = optionOf(key).scope === "process" ? config.process : config.services[0]!;
  const value = (part as unknown as Record<string, unknown>)[target];
  return { text: optionOf(key).kind.print(value), origin: part.origins[target] };
}

/** The sample as it prints after it was read, which may be shorter than it was written. */
function printed(key: Key, text: string): string {
  const { kind } = optionOf(key);
  const value = kind.read(text);
  assert(!(value instanceof ConfigError), `${key}: sample ${text} is not valid`);
  return kind.print(value);
}

function assertSetBy(
  key: Key,
  mode: Mode,
  text: string,
  args: string[],
  fixture: ConfigFixture,
  from: string,
) {
  // A folder of scripts must be there.
  const infos = { "/some/where": FOLDER };
  const config = configOf([...args, ...neededFlags(key, mode)], { infos, ...fixture });
  assertEquals(valueOf(config, key, mode), { text: printed(key, text), origin: from }, key);
}

Deno.test("the table has the options of both modes", () => {
  assert(CASES.filter(({ mode }) => mode === "tcp").length > 20);
  assert(CASES.filter(({ mode }) => mode === "http").length > 30);
});

Deno.test("every option can be set by its flag", () => {
  for (const { key, mode, text } of CASES) {
    const args = optionOf(key).kind.metavar === "" ? [flagOf(key)] : [flagOf(key), text];
    assertSetBy(key, mode, text, args, {}, `flag ${flagOf(key)}`);
  }
});

Deno.test("every short flag does what the long one does", () => {
  const withShort = CASES.filter(({ key }) => optionOf(key).short !== undefined);
  assert(withShort.length > 0);
  for (const { key, mode, text } of withShort) {
    const letter = `-${optionOf(key).short}`;
    assertSetBy(key, mode, text, [letter, text], {}, `flag ${flagOf(key)}`);
    assertSetBy(key, mode, text, [`${letter}${text}`], {}, `flag ${flagOf(key)}`);
  }
});

Deno.test("every option can be set by its environment variable", () => {
  for (const { key, mode, text } of CASES) {
    const name = envOf(key)!;
    assertSetBy(key, mode, text, [], { env: { [name]: text } }, `environment ${name}`);
  }
});

Deno.test("every general environment variable does what its option does", () => {
  const general = CASES.filter(({ key }) => optionOf(key).env !== undefined);
  assertEquals([...new Set(general.map(({ key }) => optionOf(key).env))], [
    "HOSTS",
    "PORT",
    "MAX_BACKOFF",
  ]);
  for (const { key, mode, text } of general) {
    const name = optionOf(key).env!;
    assertSetBy(key, mode, text, [], { env: { [name]: text } }, `environment ${name}`);
  }
});

Deno.test("every option can be set by its key in a file", () => {
  for (const { key, mode, text } of CASES) {
    const yaml = `# comment\n${yamlKeyOf(key)}: ${JSON.stringify(text)}\n`;
    const fixture = { files: { "f.yaml": yaml } };
    assertSetBy(key, mode, text, ["--config", "f.yaml"], fixture, "f.yaml line 2");
  }
});

Deno.test("a flag wins over the environment, the environment over the file, the file over the default", () => {
  const withDefault = CASES.filter(({ key }) => {
    const option = optionOf(key);
    return option.default !== undefined && option.kind.metavar !== "";
  });
  assert(withDefault.length > 20);
  for (const { key, mode, text } of withDefault) {
    const fallback = defaultOf(optionOf(key), mode)!;
    const args = ["--config", "f.yaml", ...neededFlags(key, mode)];
    const file = (value: string) => ({ files: { "f.yaml": `${yamlKeyOf(key)}: "${value}"` } });
    const env = (value: string) => ({ env: { [envOf(key)!]: value } });
    const winner = (more: string[], fixture: ConfigFixture) =>
      valueOf(configOf([...args, ...more], fixture), key, mode).text;

    assertEquals(
      winner([flagOf(key), text], { ...env(fallback), ...file(fallback) }),
      printed(key, text),
    );
    assertEquals(winner([], { ...env(text), ...file(fallback) }), printed(key, text));
    assertEquals(winner([], file(text)), printed(key, text));
    assertEquals(winner([], file("")), printed(key, fallback));
  }
});

Deno.test("every default is valid, and stays the same when it is printed and read again", () => {
  for (const { key, mode } of CASES) {
    const fallback = defaultOf(optionOf(key), mode);
    if (fallback === undefined) continue;
    assertEquals(printed(key, printed(key, fallback)), printed(key, fallback), key);
  }
});

Deno.test("every option refuses a value that is not of its kind, and names its origin", () => {
  const strict = CASES.filter(({ key }) => optionOf(key).kind.metavar !== "PATH");
  for (const { key, mode } of strict) {
    const loaded = loadWith([`${flagOf(key)}=\u0001`, ...neededFlags(key, mode)]);
    assert(loaded.kind === "errors", `${key} accepted a control character`);
    const line = loaded.lines.find((each) => each.includes(` as ${yamlKeyOf(key)}: expected `));
    assert(line?.endsWith(`(from flag ${flagOf(key)})`), loaded.lines.join("\n"));
  }
});

Deno.test("no two options share a flag, a letter or a variable", () => {
  const letters = KEYS.flatMap((key) => optionOf(key).short ?? []);
  const names = KEYS.flatMap((key) => [envOf(key), optionOf(key).env]).filter((each) =>
    each !== undefined
  );
  assertEquals(new Set(letters).size, letters.length);
  assertEquals(new Set(names).size, names.length);
});

/** Compiles only while the types follow from the table. */
function typesFollow(tcp: TcpConfig, http: HttpConfig, config: Config): void {
  const _interval: number = tcp.checkInterval;
  const _hosts: readonly { readonly name: string }[] = tcp.hosts;
  const _maybe: string | undefined = tcp.checkHost;
  const _word: "none" | "v1" | "v2" = tcp.sendProxy;
  const _url: URL = http.primary.url;
  const _json: boolean = config.process.jsonLogs;
  // @ts-expect-error an option without a default may be undefined
  const _path: string = tcp.checkHost;
  // @ts-expect-error TCP mode has no primary
  const _primary = tcp.primary;
  // @ts-expect-error the value of `port` is kept in `bind`
  const _port = tcp.port;
  // @ts-expect-error commands are not options
  const _help = config.process.help;
}

Deno.test("the types of the config follow from the table", () => {
  assertEquals(typeof typesFollow, "function");
});
