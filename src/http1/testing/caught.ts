/** The messages of uncaught errors while `run` runs. In the proxy such an error becomes an event. */
export async function caught(run: () => unknown): Promise<string[]> {
  const errors: string[] = [];
  const take = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(event.error instanceof Error ? event.error.message : event.message);
  };
  globalThis.addEventListener("error", take);
  try {
    await run();
    return errors;
  } finally {
    globalThis.removeEventListener("error", take);
  }
}
