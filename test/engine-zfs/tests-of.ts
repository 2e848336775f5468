import t from 'tap';

/**
 * Runs test files of a folder with a backup server that has ZFS. It is an emulated machine, slow to start and slow in all
 * that it does: the files share one, and some are left to `npm run soak`.
 */
export function testsOf(folder: string, always: readonly string[], inSoak: readonly string[]): void {
  process.env.DRIVER_UNDER_TEST = 'zfs';
  const isSoak = process.env.SOAK === '1';
  for (const file of isSoak ? [...always, ...inSoak] : always) require(`../${folder}/${file}.test`);
  t.setTimeout(isSoak ? 7_200_000 : 2_900_000); // what each of them sets is enough for one
}
