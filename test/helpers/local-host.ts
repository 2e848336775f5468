import { LocalHost } from '../../lib/host/local';

/** This machine as a host: without a limit of time, and nothing is traced. */
export function localHost(signal = new AbortController().signal, env = process.env): LocalHost {
  return new LocalHost({ env, signal, supervision: { stallSeconds: 0, marker: undefined }, trace: () => {} });
}
