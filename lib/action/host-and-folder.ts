import { DriverError } from '../errors';
import { type AbsolutePath, type HostName, parseAbsolutePath, parseHostName } from '../opennebula/ids';

/** The first argument of backup and backup_cancel: where the VM's files are. */
export interface HostAndFolder {
  readonly host: HostName;
  readonly folder: AbsolutePath;
}

/** Parses `HOST:DIR`. An IPv6 address has colons too: the folder begins at the first `:/`. Throws `usage`. */
export function parseHostAndFolder(text: string): HostAndFolder {
  const at = text.indexOf(':/');
  if (at < 1) throw new DriverError('usage', `${JSON.stringify(text.slice(0, 60))} is not HOST:DIR`);
  return {
    host: parseHostName(text.slice(0, at), 'HOST', 'usage'),
    folder: parseAbsolutePath(text.slice(at + 1), 'DIR', 'usage'),
  };
}

/**
 * What every program of a backup carries in its environment, and backup_cancel looks for: the VM as its hypervisor calls
 * it, and its folder, which names the system datastore and the VM. Equal texts mean the same VM, and nothing less does.
 */
export function backupMarker(hostAndFolder: string, deployId: string): string {
  return `${deployId} ${parseHostAndFolder(hostAndFolder).folder}`;
}
