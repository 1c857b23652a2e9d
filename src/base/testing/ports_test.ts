import { assert, assertEquals } from "@std/assert";
import { blocksOutside, unusedPort } from "./ports.ts";

const MODULE = new URL("./ports.ts", import.meta.url).href;

Deno.test("a port that is used is not handed out, and none is handed out twice in a round", () => {
  const ports = Array.from({ length: 50 }, () => unusedPort());
  assertEquals(new Set(ports).size, ports.length);
  using _one = Deno.listen({ hostname: "127.0.0.1", port: ports[0]! });
  using _other = Deno.listen({ hostname: "::1", port: ports[1]! });
  const others = Array.from({ length: 2 * 399 }, () => unusedPort());
  assert(!others.includes(ports[0]!) && !others.includes(ports[1]!));
  assert(others.includes(ports[2]!));
});

Deno.test("threads that ask for ports at the same time get different ones", async () => {
  const text = `import { unusedPort } from "${MODULE}";
    postMessage(Array.from({ length: 300 }, unusedPort));`;
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const workers = Array.from({ length: 8 }, () => new Worker(url, { type: "module" }));
  try {
    const asked = workers.map((worker) =>
      new Promise<number[]>((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = reject;
      })
    );
    const ports = [...(await Promise.all(asked)).flat(), unusedPort()];
    assertEquals(new Set(ports).size, 8 * 300 + 1);
  } finally {
    for (const worker of workers) worker.terminate();
    URL.revokeObjectURL(url);
  }
});

Deno.test("no port is in the range from which the system picks ports itself", () => {
  const usual = blocksOutside([32_768, 60_999]);
  assert(usual.every((first) => first + 399 < 32_768 || first > 60_999));
  assert(usual.length > 60);
  // A system that picks from nearly all ports.
  assertEquals(blocksOutside([11_000, 65_535]), [10_000, 10_400]);
});
