import { assertEquals } from "@std/assert";
import { Freshness } from "./freshness.ts";

const header = (revision: number, raft_term: number, cluster_id = "7") => ({
  cluster_id,
  revision: String(revision),
  raft_term: String(raft_term),
});

Deno.test("Freshness takes answers that are as new as what was seen when the call was sent", () => {
  const fresh = new Freshness();
  const before = fresh.mark;
  assertEquals(fresh.objection(header(10, 2), fresh.mark), undefined);
  assertEquals(fresh.objection(header(9, 2), before), undefined, "it was sent before");
  assertEquals(fresh.mark, { revision: 10, term: 2 });
  assertEquals(
    fresh.objection(header(9, 2), fresh.mark),
    "its revision is 9, but 10 was seen before: it is behind, or was restored from an old copy",
  );
  assertEquals(
    fresh.objection(header(11, 1), fresh.mark),
    "its term is 1, but 2 was seen before: it is behind, or was restored from an old copy",
  );
});

Deno.test("Freshness refuses another cluster in every answer, and the age only where it counts", () => {
  const fresh = new Freshness();
  fresh.objection(header(10, 2), fresh.mark);
  assertEquals(fresh.objection(header(3, 1), undefined), undefined, "a member may lag");
  assertEquals(
    fresh.objection(header(11, 2, "8"), undefined),
    "it belongs to another cluster (8) than before (7)",
  );
});
