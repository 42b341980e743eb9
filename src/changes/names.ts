/** What stands in the database for the change stream: the installation makes it, the sources look for it. */

/** The publication, where the options name none. */
export const PUBLICATION = 'pg_ladder';
/** The prefix of the logical messages that tell of definitions. */
export const DEFINITIONS_PREFIX = 'pg_ladder.definitions';
/** The event triggers that send them: of what was made or changed, and of what was dropped. */
export const DEFINITION_TRIGGERS = ['pg_ladder_definitions', 'pg_ladder_drops'] as const;
