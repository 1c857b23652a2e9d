/** The unix socket for a few clients: who they are, what a shortage does, and a path that is in use. */
import { assert, assertEquals } from "@std/assert";
import { ManualClock, realClock } from "../../base/clock.ts";
import { EMFILE } from "../../linux/errno.ts";
import { Libc } from "../../linux/libc.ts";
import type { Conn } from "../conn.ts";
import type { Acceptee } from "../transport.ts";
import { formatPeer, listenLocally, type LocalListener, parsePeer } from "./local_listener.ts";

const ignore = Deno.build.os !== "linux";

/** Sends each client its name, and closes. */
class Greeter implements Acceptee {
  readonly hasRoom = true;

  room(): Promise<void> {
    return Promise.resolve();
  }

  async serve(conn: Conn, peer: string): Promise<void> {
    await conn.write(new TextEncoder().encode(peer));
    conn.close();
  }
}

/** A kernel that has no descriptor left for the first clients. */
class ShortLibc extends Libc {
  shortages = 2;

  override accept(listener: number): number {
    return this.shortages > 0 ? (this.shortages--, -EMFILE) : super.accept(listener);
  }
}

function opened(result: ReturnType<typeof listenLocally>): LocalListener {
  assert("finished" in result, "it cannot listen");
  return result;
}

async function nameOf(path: string): Promise<string> {
  using conn = await Deno.connect({ transport: "unix", path });
  return await new Response(conn.readable).text();
}

const OURS = () => formatPeer({ uid: Deno.uid()!, pid: Deno.pid });

Deno.test({
  name: "each client is served under its user and process, and the file goes with the listener",
  ignore,
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/socket`;
    {
      const options = { clock: realClock, socketMode: 0o600 };
      await using _listener = opened(listenLocally(path, new Greeter(), options));
      assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
      assertEquals(await Promise.all([nameOf(path), nameOf(path)]), [OURS(), OURS()]);
      assertEquals(await nameOf(path), OURS()); // the loop of the first two has ended, or ends now
    }
    assertEquals(await Deno.stat(path).catch(() => undefined), undefined);
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test({
  name: "a shortage is reported once, and the client that waits is served after the pauses",
  ignore,
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/socket`;
    const clock = new ManualClock();
    const failures: [unknown, number][] = [];
    const paused = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let pauses = 0;
    {
      const options = {
        clock,
        onAcceptFailed: (error: unknown, ms: number) => void failures.push([error, ms]),
        onShortage: () => paused[pauses++]?.resolve(),
      };
      await using _listener = opened(
        listenLocally(path, new Greeter(), options, new ShortLibc()),
      );
      const name = nameOf(path);
      for (const [at, ms] of [10, 20].entries()) {
        await paused[at]!.promise;
        await clock.advance(ms);
      }
      assertEquals(await name, OURS());
      assertEquals(failures, [["too many open files", 10]]);
    }
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test({
  name: "the process that listens at a path already is named",
  ignore,
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/socket`;
    {
      await using _first = opened(listenLocally(path, new Greeter(), { clock: realClock }));
      assertEquals(listenLocally(path, new Greeter(), { clock: realClock }), {
        reason: "address in use",
        holder: Deno.pid,
      });
    }
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test("only the text of `formatPeer` is read as credentials", () => {
  assertEquals(parsePeer(formatPeer({ uid: 0, pid: 7 })), { uid: 0, pid: 7 });
  for (const text of ["unix", "192.0.2.1", "uid=1 pid=", "uid=1 pid=2 "]) {
    assertEquals(parsePeer(text), undefined);
  }
});
