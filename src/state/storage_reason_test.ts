import { assertEquals } from "@std/assert";
import { storageReason } from "./storage_reason.ts";

Deno.test("errors of a file system have descriptions", () => {
  assertEquals(storageReason(new Deno.errors.PermissionDenied("x")), "permission denied");
  assertEquals(
    storageReason(new Error("No space left on device (os error 28)")),
    "no space is left on the device",
  );
  assertEquals(storageReason(new Error("x (os error 30)")), "the file system is read-only");
  assertEquals(storageReason(new Error("something else")), "something else");
});
