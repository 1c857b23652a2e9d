/** The commands by themselves, with a control socket of the test: what is asked, printed and returned. */
import { assertEquals, assertMatch } from "@std/assert";
import { inTempFolder } from "../base/testing/temp_folder.ts";
import { runCommand } from "./commands.ts";

const ignore = Deno.build.os === "windows";

const SERVICE = {
  ...{ name: "shop", mode: "tcp", phase: "serving", active: "a:1", admission: "open" },
  ...{ upstreams: [], since_unix: 1, on_backup: false, epoch: 3, paused: null, held: null },
};

/** Runs commands with a proxy that answers with `answer`, and records what it was asked. */
function withProxy(
  answer: (path: string) => Response,
  use: (
    run: (name: Parameters<typeof runCommand>[0], ...args: string[]) => Promise<{
      readonly code: number;
      readonly out: string;
      readonly err: string;
    }>,
    asked: string[],
  ) => Promise<void>,
): Promise<void> {
  return inTempFolder(async (folder) => {
    const path = `${folder}/failover.sock`;
    const asked: string[] = [];
    const server = Deno.serve({ transport: "unix", path, onListen() {} }, (request) => {
      const { pathname, search } = new URL(request.url);
      const target = pathname.replace("/__failover/", "") + search;
      asked.push(`${request.method} ${target}`);
      return answer(target);
    });
    try {
      await use(async (name, ...args) => {
        const [out, err]: [string[], string[]] = [[], []];
        const code = await runCommand(name, args, [path], {
          out: (text) => out.push(text),
          err: (text) => err.push(text),
          isTerminal: false,
          stop: new AbortController().signal,
        });
        return { code, out: out.join("\n"), err: err.join("\n") };
      }, asked);
    } finally {
      await server.shutdown();
    }
  });
}

Deno.test({
  name: "an order is sent with its parameters, and waits for its end",
  ignore,
  fn: () =>
    withProxy(() => Response.json({ epoch: 4 }), async (run, asked) => {
      const { code, out, err } = await run(
        ...["drain", "b:1", "shop", "--reason", "a new disk"] as ["drain", ...string[]],
      );
      assertEquals([code, out, err], [0, "drain: done (epoch 4)", ""]);
      assertEquals(asked, ["POST drain?wait=true&service=shop&upstream=b%3A1&reason=a+new+disk"]);
      assertEquals(JSON.parse((await run("pause", "--json")).out), { epoch: 4 });
    }),
});

Deno.test({
  name: "a refusal is printed on stderr, with exit code 1",
  ignore,
  fn: () =>
    withProxy(
      () => Response.json({ error: "b:1 is active" }, { status: 409 }),
      async (run) => {
        const { code, out, err } = await run("drain", "b:1");
        assertEquals([code, out], [1, ""]);
        assertMatch(err, /b:1 is active/);
      },
    ),
});

Deno.test({
  name: "the status of one service is asked for by its name, and decides the exit code",
  ignore,
  fn: () =>
    withProxy(() => Response.json({ ...SERVICE, on_backup: true }), async (run, asked) => {
      const { out } = await run("status", "shop", "--json");
      assertEquals([asked, JSON.parse(out).name], [["GET state?service=shop"], "shop"]);
    }),
});

Deno.test({
  name: "the events of a service are printed until the proxy ends, which is exit code 3",
  ignore,
  fn: () => {
    const event = (service: string, message: string) =>
      `data: ${JSON.stringify({ seq: 1, time: "2026-11-28T00:00:00.000Z", service, message })}\n\n`;
    return withProxy(
      (path) =>
        path.startsWith("state")
          ? Response.json(SERVICE)
          : new Response(event("shop", "one happened") + event("other", "another did")),
      async (run) => {
        const { code, out } = await run("watch", "shop");
        assertEquals(code, 3);
        assertMatch(out, /one happened$/);
      },
    );
  },
});

Deno.test("without a proxy, and for a wrong command line, nothing is asked", async () => {
  await inTempFolder(async (folder) => {
    const err: string[] = [];
    const out: string[] = [];
    const io = {
      out: (text: string) => out.push(text),
      err: (text: string) => err.push(text),
      isTerminal: false,
      stop: new AbortController().signal,
    };
    assertEquals(await runCommand("pause", [], [`${folder}/none.sock`], io), 3);
    assertMatch(err[0]!, /^failover: no proxy can be reached/);
    assertEquals(await runCommand("drain", [], [], io), 64);
    assertMatch(err.at(-1)!, /^usage: failover drain HOST/);
    assertEquals(await runCommand("drain", ["--help"], [], io), 0);
    assertMatch(out[0]!, /failover drain HOST/);
  });
});
