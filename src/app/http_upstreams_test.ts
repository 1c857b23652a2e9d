import { assert, assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { inTempFolder } from "../base/testing/temp_folder.ts";
import { httpOf } from "../config/testing/config.ts";
import { PROBE_CONTEXT } from "../failover/testing/results.ts";
import { Deadlines } from "../net/deadlines.ts";
import { denoSockets } from "../net/deno/transport.ts";
import { httpUpstreams } from "./http_upstreams.ts";

const clock = new ManualClock();
const deps = {
  ...{ clock, sockets: denoSockets, tls: {}, pseudonym: "failover-1" },
  deadlines: new Deadlines(clock),
};

Deno.test("each upstream has its way: a server, a folder or a page", () =>
  inTempFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/index.html`, "from the folder");
    await Deno.writeTextFile(`${folder}/sorry.html`, "from the page");
    const config = httpOf([
      ...["--primary", "http://a.example", "--backup", `file://${folder}`],
      ...["--backup", `page:${folder}/sorry.html`],
    ]);
    const { list, ways, probe } = httpUpstreams(config, deps, {});
    assertEquals(list.map(({ name, rank }) => [ways.get(name)!.kind, rank]), [
      ...[["server", 0], ["static", 1], ["static", 2]],
    ]);
    const texts: string[] = [];
    for (const { name } of list.slice(1)) {
      const way = ways.get(name)!;
      if (way.kind !== "static") throw new Error(way.kind);
      texts.push(await (await way.respond(new Request("http://a.example/"))).text());
    }
    assertMatch(texts.join(), /^from the folder,from the page$/);
    const { signal } = new AbortController();
    assertEquals((await probe(list[1]!, PROBE_CONTEXT, signal)).passed, true);
  }));

Deno.test("an upstream that is reached in the same way keeps its connections, at whatever place", () => {
  const of = (...args: string[]) =>
    httpOf(["--primary", "http://a", "--backup", "http://b", ...args]);
  const numbers = { "http://a": 0, "http://b": 1 };
  const first = httpUpstreams(of(), deps, numbers);
  const turned = httpOf(["--primary", "http://b", "--backup", "http://a"]);
  const second = httpUpstreams(turned, deps, numbers, first);
  const poolOf = ({ ways }: typeof first, name: string) => {
    const way = ways.get(name)!;
    return way.kind === "server" ? way.pool : undefined;
  };
  for (const name of ["http://a", "http://b"]) {
    assertEquals(poolOf(second, name), poolOf(first, name));
  }
  assertEquals(second.list.map(({ name, rank }) => [name, rank]), [["http://b", 0], [
    "http://a",
    1,
  ]]);
  assertEquals([...second.ways.values()].map((way) => [way.upstream.rank, way.number]), [[0, 1], [
    1,
    0,
  ]]);
  const other = httpUpstreams(of("--connect-timeout", "9s"), deps, numbers, second);
  assert(poolOf(other, "http://a") !== poolOf(first, "http://a"));
});
