/** nginx as an upstream: the framing, keep-alive, ranges and errors of another implementation. */
import { assert, assertEquals } from "@std/assert";
import { Child } from "../harness/child.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { refusingPort } from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";

/** nginx with a separate folder, serving `files` of it. */
async function startNginx(folder: string, port: number): Promise<AsyncDisposable> {
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`).join("\n");
  const conf = `
    worker_processes 1; daemon on; pid ${folder}/pid; error_log ${folder}/error.log;
    events { worker_connections 256; }
    http {
      access_log off; ${temp}
      server {
        listen 127.0.0.1:${port};
        root ${folder}/files;
        gzip on; gzip_min_length 1; gzip_types text/plain; gzip_proxied any;
        location /moved { return 301 http://127.0.0.1:${port}/to/here; }
        location /limit { client_max_body_size 10; return 200 "small"; }
      }
    }`;
  await Deno.mkdir(`${folder}/files`);
  await Deno.chmod(folder, 0o755);
  await Deno.writeTextFile(`${folder}/files/a.txt`, "0123456789".repeat(1000));
  await Deno.writeTextFile(`${folder}/nginx.conf`, conf);
  const args = ["-c", `${folder}/nginx.conf`, "-p", folder];
  // It becomes a daemon by itself, when it listens.
  await run(args);
  return { [Symbol.asyncDispose]: () => run([...args, "-s", "stop"]) };
}

async function run(args: readonly string[]): Promise<void> {
  const child = new Child("nginx", { args });
  const { success } = await withTestDeadline(`nginx ${args.join(" ")}`, child.ended);
  assert(success);
}

onBothProtocols(
  "nginx behind the gateway: files, ranges, gzip, redirects, errors",
  async ({ start }) => {
    const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
    const port = refusingPort();
    {
      await using _nginx = await startNginx(folder, port);
      await using fixture = await start([port]);
      await fixture.open(0);
      const whole = await fixture.ask("GET", "/a.txt");
      assertEquals([whole.status, whole.body.length, whole.get("content-length")], [
        200,
        10_000,
        "10000",
      ]);
      const part = await fixture.ask("GET", "/a.txt", ["Range: bytes=5-9"]);
      assertEquals([part.status, part.body, part.get("content-range")], [
        206,
        "56789",
        "bytes 5-9/10000",
      ]);
      const again = await fixture.ask("GET", "/a.txt", [`If-None-Match: ${whole.get("etag")}`]);
      assertEquals([again.status, again.body], [304, ""]);
      const head = await fixture.ask("HEAD", "/a.txt");
      assertEquals([head.get("content-length"), head.body], ["10000", ""]);
      const zipped = await fixture.ask("GET", "/a.txt", ["Accept-Encoding: gzip"]);
      assertEquals(zipped.get("content-encoding"), "gzip");
      assert(zipped.body.length < 1000);
      assertEquals((await fixture.ask("GET", "/moved")).get("location"), "/to/here");
      assertEquals((await fixture.ask("GET", "/none")).status, 404);
      assertEquals((await fixture.ask("POST", "/limit", [], "x".repeat(100))).status, 413);
    }
    await Deno.remove(folder, { recursive: true });
  },
  ["nginx"],
);
