/**
 * Runs test files of a folder with a backup server that has ZFS. It is an emulated machine, slow to start and slow in all
 * that it does: the files share one, and some are left to `npm run soak`.
 */
export function testsOf(folder: string, always: readonly string[], inSoak: readonly string[]): void {
  process.env.DRIVER_UNDER_TEST = 'zfs';
  const files = process.env.SOAK === '1' ? [...always, ...inSoak] : always;
  for (const file of files) require(`../${folder}/${file}.test`);
}
