/** Promises that must reject with a fault. */
import { assertEquals, assertRejects } from "@std/assert";
import { Fault, type FaultName, FAULTS } from "../fault.ts";

/** The name of the fault with which a promise rejects. */
export async function rejectedWith(promise: Promise<unknown>): Promise<FaultName> {
  return (await assertRejects(() => promise, Fault)).fault;
}

/** Asserts that a promise rejects with this fault, which says that nothing was sent. */
export async function assertNothingSent(
  promise: Promise<unknown>,
  fault: FaultName,
): Promise<void> {
  const error = await assertRejects(() => promise, Fault);
  assertEquals([error.fault, FAULTS[error.fault].nothingSent], [fault, true], error.message);
}
