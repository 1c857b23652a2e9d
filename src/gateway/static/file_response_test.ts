/** One file as a response: conditions, ranges, and files that change while they are sent. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "../../base/clock.ts";
import { Fault } from "../../base/fault.ts";
import { inTempFolder } from "../../base/testing/temp_folder.ts";
import { inStorageTime, openFile, respondWith } from "./file_response.ts";

const TEXT = "0123456789";

/** The response to a request with these headers for a file of ten bytes. */
async function asked(headers: Record<string, string> = {}, method = "GET"): Promise<Response> {
  let response: Response | undefined;
  await inTempFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/page`, TEXT);
    await Deno.utime(`${folder}/page`, 1_000, 1_000);
    const file = await openFile(`${folder}/page`, new ManualClock());
    const request = new Request("http://front.test/page", { headers, method });
    response = await respondWith(request, file!, "text/plain");
  });
  return response!;
}

const MODIFIED = new Date(1_000_000).toUTCString();

Deno.test("a whole file has its length, its type and its validators", async () => {
  const response = await asked();
  assertEquals([response.status, await response.text()], [200, TEXT]);
  const { headers } = response;
  assertEquals(headers.get("content-length"), "10");
  assertEquals([headers.get("content-type"), headers.get("last-modified")], [
    "text/plain",
    MODIFIED,
  ]);
  assert(headers.get("etag")!.startsWith('W/"'));
  const head = await asked({}, "HEAD");
  assertEquals([head.headers.get("content-length"), await head.text()], ["10", ""]);
});

Deno.test("a condition that holds gives 304; the date counts only without a tag", async () => {
  const response = await asked();
  await response.body?.cancel();
  const etag = response.headers.get("etag")!;
  const later = new Date(2_000_000).toUTCString();
  const cases: readonly (readonly [Record<string, string>, number])[] = [
    [{ "if-none-match": etag }, 304],
    [{ "if-none-match": '"other"' }, 200],
    [{ "if-modified-since": MODIFIED }, 304],
    [{ "if-modified-since": new Date(0).toUTCString() }, 200],
    [{ "if-modified-since": "yesterday" }, 200],
    [{ "if-none-match": '"other"', "if-modified-since": later }, 200],
  ];
  for (const [headers, status] of cases) {
    const each = await asked(headers);
    await each.body?.cancel();
    assertEquals(each.status, status, JSON.stringify(headers));
  }
});

Deno.test("a single range is sent as asked; one that is malformed or has a failed condition is ignored", async () => {
  const cases: readonly (readonly [string, number, string])[] = [
    ["bytes=2-4", 206, "234"],
    ["bytes=8-", 206, "89"],
    ["bytes=-3", 206, "789"],
    ["bytes=-99", 206, TEXT],
    ["bytes=5-99", 206, "56789"],
    ["bytes=4-2", 200, TEXT],
    ["bytes=0-1,3-4", 200, TEXT],
    ["lines=1-2", 200, TEXT],
    ["bytes=10-", 416, ""],
    ["bytes=-0", 416, ""],
  ];
  for (const [range, status, text] of cases) {
    const response = await asked({ range });
    assertEquals([response.status, await response.text()], [status, text], range);
  }
  const part = await asked({ range: "bytes=2-4", "if-range": MODIFIED });
  assertEquals([part.headers.get("content-range"), await part.text()], ["bytes 2-4/10", "234"]);
  const whole = await asked({ range: "bytes=2-4", "if-range": 'W/"tag"' });
  assertEquals([whole.status, await whole.text()], [200, TEXT]);
});

Deno.test("a file that becomes shorter or is written over while it is sent breaks the response", async () => {
  for (const change of ["shorter", "other"]) {
    await inTempFolder(async (folder) => {
      const path = `${folder}/page`;
      await Deno.writeTextFile(path, "x".repeat(200_000));
      await Deno.utime(path, 1_000, 1_000);
      const file = await openFile(path, new ManualClock());
      const { body } = await respondWith(new Request("http://a/"), file!, "text/plain");
      const reader = body!.getReader();
      await reader.read();
      if (change === "shorter") await Deno.truncate(path, 10);
      else await Deno.writeTextFile(path, "y".repeat(200_000));
      const rest = async () => {
        while (!(await reader.read()).done);
      };
      await assertRejects(rest, Fault, change === "shorter" ? "shorter" : "written");
    });
  }
});

Deno.test("only a regular file is opened, and work that takes too long is a fault", async () => {
  const clock = new ManualClock();
  await inTempFolder(async (folder) => {
    assertEquals(await openFile(folder, clock), undefined);
    assertEquals(await openFile(`${folder}/none`, clock), undefined);
  });
  const late = assertRejects(() => inStorageTime(clock, new Promise(() => {})), Fault);
  await clock.advance(10_000);
  assertEquals((await late).fault, "responseCut");
});
