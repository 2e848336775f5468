/** The ssh2 library, as types only: nothing is loaded by this. */
export type Ssh2 = typeof import('ssh2');

/**
 * Loads ssh2 when the first connection needs it. It costs 25-40 ms, which an action without a connection
 * must not pay. The default export is taken because Node finds only some names of a CommonJS module.
 */
export async function loadSsh2(): Promise<Ssh2> {
  return (await import('ssh2')).default;
}
