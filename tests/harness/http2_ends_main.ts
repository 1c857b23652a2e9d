/**
 * The proxy whose server for HTTP/2 ends at SIGWINCH, with all its connections, as one does that could not accept
 * for lack of descriptors. Another one can be started at once.
 */
const serve = Deno.serve as (options: object, handler: unknown) => Deno.HttpServer<Deno.NetAddr>;
let end = () => {};

function serveUntilEnded(options: object, handler: unknown): Deno.HttpServer<Deno.NetAddr> {
  const stop = new AbortController();
  const ended = Promise.withResolvers<void>();
  const server = serve({ ...options, signal: stop.signal }, handler);
  end = () => {
    stop.abort();
    ended.reject(new Error("Too many open files (os error 24)"));
    console.error("the server for HTTP/2 has ended");
  };
  const finished = Promise.race([server.finished, ended.promise]);
  return { ...server, addr: server.addr, finished, shutdown: () => server.shutdown() };
}

Deno.serve = serveUntilEnded as unknown as typeof Deno.serve;
Deno.addSignalListener("SIGWINCH", () => end());

await import("../../src/main.ts");
