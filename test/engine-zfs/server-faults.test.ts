import t from 'tap';
import { writeStory } from '../conformance/story';
import { zfsWorld } from '../conformance/zfs-bed';
import { testForeign } from './foreign';
import { testRefusals } from './refusals';
import { testStrikes } from './strikes';
import { testSurvivals } from './survivals';

t.setTimeout(2_900_000);

t.test('what can go wrong on a server with ZFS', async (t) => {
  const story = writeStory();
  t.teardown(story.close);
  const world = await zfsWorld();
  t.teardown(() => world.bed.close());
  await testForeign(t, world, story);
  await testRefusals(t, world, story);
  await testSurvivals(t, world, story);
  await testStrikes(t, world, story);
});
