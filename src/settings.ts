/** The settings, each with its meaning, unit and default. docs/configuration.md is generated from this. */
export interface Setting {
  readonly name: string;
  readonly type: 'integer' | 'text' | 'list' | 'boolean' | 'choice' | 'tenants' | 'module' | 'modules' | 'privacy';
  readonly default?: unknown;
  readonly least?: number;
  /** 0 is allowed below `least`: it switches off. */
  readonly zero?: boolean;
  readonly most?: number;
  readonly choices?: readonly string[];
  readonly secret?: boolean;
  /** Recorded at the first start; a later start with another value is refused. */
  readonly fixed?: boolean;
  readonly description: string;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const MIB = 1024 * 1024;

export const SETTINGS: readonly Setting[] = [
  {
    name: 'host',
    type: 'text',
    default: '127.0.0.1',
    description: 'Address to listen on. Others than loopback need `insecure` until there are API keys.',
  },
  {
    name: 'port',
    type: 'integer',
    default: 8080,
    least: 0,
    most: 65_535,
    description: 'Port to listen on; 0 takes a free one and prints it.',
  },
  {
    name: 'dataDir',
    type: 'text',
    default: './.meterfold',
    description: 'Directory of the embedded database and of the archive.',
  },
  {
    name: 'databaseUrl',
    type: 'text',
    secret: true,
    description: 'A PostgreSQL server instead of the embedded database, as `postgres://user:password@host:port/database`.',
  },
  {
    name: 'databaseConnections',
    type: 'integer',
    default: 12,
    least: 2,
    most: 1000,
    description:
      'Connections of a process to the server of `databaseUrl`, at most: a lane each, the publisher, the producer, and readers. The embedded database has one.',
  },
  {
    name: 'databaseConnectTimeoutMs',
    type: 'integer',
    default: 30_000,
    least: 100,
    most: 10 * MINUTE,
    description: 'How long a connection is waited for, also for one of those that are in use, ms.',
  },
  {
    name: 'databaseStatementTimeoutMs',
    type: 'integer',
    default: 30_000,
    least: 1000,
    most: HOUR,
    description:
      '`statement_timeout` of the sessions, ms. What takes longer is rolled back and tried again. Steps of the layout and indexes have none.',
  },
  {
    name: 'databaseLockTimeoutMs',
    type: 'integer',
    default: 10_000,
    least: 100,
    most: HOUR,
    description: '`lock_timeout` of the sessions, ms: at most `databaseStatementTimeoutMs`.',
  },
  {
    name: 'databaseIdleInTransactionTimeoutMs',
    type: 'integer',
    default: 30_000,
    least: 1000,
    most: HOUR,
    description: '`idle_in_transaction_session_timeout`, ms: when the server lets go of the locks of a process that hangs.',
  },
  {
    name: 'metersFile',
    type: 'text',
    description:
      'YAML file of meters, spread and schemas. A change makes a new version; without a file what was declared last stands, at first a sum meter for every event type.',
  },
  {
    name: 'tenants',
    type: 'tenants',
    description:
      '`open`, or the ids of the registered tenants, separated by commas: events of others become rejects. Without it what was declared last stands, at first `open`.',
  },
  {
    name: 'maxGroups',
    type: 'integer',
    least: 1,
    most: 100_000,
    description:
      'Groups of one tenant, meter and minute in one segment; usage beyond counts in the group `other`. Without it what was declared last stands, at first 1,000.',
  },
  {
    name: 'partitions',
    type: 'integer',
    default: 4,
    least: 1,
    most: 1024,
    fixed: true,
    description: 'Partitions of the log.',
  },
  {
    name: 'buckets',
    type: 'integer',
    default: 16,
    least: 1,
    most: 1024,
    fixed: true,
    description: 'Buckets of the speed layer.',
  },
  { name: 'tickMs', type: 'integer', default: 1000, least: 10, most: HOUR, description: 'Between two ticks, ms.' },
  {
    name: 'epochMs',
    type: 'integer',
    least: 1000,
    most: DAY,
    fixed: true,
    description:
      'Arrival interval whose key digests are kept and dropped together, ms: two to three of them are kept, and older events are looked up in the database. Without it 5 min, with Redis 1 h.',
  },
  {
    name: 'archiveFormat',
    type: 'integer',
    least: 1,
    most: 7,
    description:
      'Archive format of lineages that are read for the first time: 1 seals after 2,000 records or 2 s, 2 after 50,000 or 60 s; 3 and 4 are as 1 and 2, with room for the id of a key in every record; 5, 6 and 7 are as 4, compressed by snappy, zstandard (Node 22.15) and deflate. Without it 1, in S3 2; there 1 and 3 are refused, because a request costs money.',
  },
  {
    name: 'kafkaBrokers',
    type: 'list',
    description:
      'Kafka as the log: `host:port` of some brokers, separated by commas. Needs `kafkaTopic`. See [kafka](kafka.md).',
  },
  {
    name: 'kafkaTopic',
    type: 'text',
    description: 'The topic; its partitions are recorded as `partitions` at the first start.',
  },
  {
    name: 'kafkaGroup',
    type: 'text',
    default: 'meterfold',
    description: 'The group by which workers share the topic. One of its own for each installation on a cluster.',
  },
  {
    name: 'kafkaSessionMs',
    type: 'integer',
    default: 10_000,
    least: 1000,
    most: 30 * MINUTE,
    description:
      'A worker that the brokers have not heard of for so long is taken for dead, and others read its partitions, ms. The brokers have bounds for it (`group.min.session.timeout.ms`, 6 s).',
  },
  {
    name: 'kafkaHeartbeatMs',
    type: 'integer',
    default: 2000,
    least: 100,
    most: 10 * MINUTE,
    description: 'Between two heartbeats of a worker, ms: at most a third of `kafkaSessionMs`.',
  },
  {
    name: 'kafkaRebalanceMs',
    type: 'integer',
    default: 10_000,
    least: 1000,
    most: 30 * MINUTE,
    description:
      'How long workers that share anew wait for one that does not answer, ms: longer than `kafkaHeartbeatMs`. Nobody drains for it.',
  },
  {
    name: 'kafkaMinInsyncReplicas',
    type: 'integer',
    default: 2,
    least: 1,
    most: 100,
    description: 'What `min.insync.replicas` of the topic has to be at least; 1 where there is one broker.',
  },
  {
    name: 'kafkaTls',
    type: 'boolean',
    default: false,
    description: 'TLS to the brokers, with the certificates that Node trusts.',
  },
  {
    name: 'kafkaSaslMechanism',
    type: 'choice',
    choices: ['plain', 'scram-sha-256', 'scram-sha-512'],
    description: 'Log in to the brokers, with `kafkaUsername` and `kafkaPassword`.',
  },
  { name: 'kafkaUsername', type: 'text', description: 'User of the login.' },
  { name: 'kafkaPassword', type: 'text', secret: true, description: 'Password of the login.' },
  {
    name: 'leaseMs',
    type: 'integer',
    default: 10_000,
    least: 1000,
    most: HOUR,
    description:
      'Without Kafka: a worker that the database has not heard of for so long is taken for dead, and others read its lineages, ms. Five renewals fit into it.',
  },
  {
    name: 'redisUrls',
    type: 'list',
    secret: true,
    description:
      'Redis as the speed store instead of this process: `redis://user:password@host:port`, or `rediss://` for TLS; the server, the Sentinels, or some nodes of the Cluster, separated by commas.',
  },
  {
    name: 'redisMode',
    type: 'choice',
    default: 'single',
    choices: ['single', 'sentinel', 'cluster'],
    description: 'What `redisUrls` are.',
  },
  { name: 'redisSentinelName', type: 'text', description: 'The name that the Sentinels watch the primary under.' },
  {
    name: 'redisPrefix',
    type: 'text',
    default: 'mf',
    description:
      'In front of every name in Redis, for one that others use too. Short: it is part of every name of a page of digests.',
  },
  {
    name: 'speedReadMs',
    type: 'integer',
    default: 500,
    least: 10,
    most: MINUTE,
    description:
      'How long a query waits for the live counters in Redis, ms; then it is answered as of the cut, `provisional` with `speed_unreachable`. Until Redis is heard again, one query in this time tries it.',
  },
  {
    name: 's3Bucket',
    type: 'text',
    description:
      'The archive in this bucket instead of the data directory. Credentials come from the chain of the AWS SDK. See [s3-archive](s3-archive.md).',
  },
  { name: 's3Prefix', type: 'text', description: 'In front of every key, so that several installations share a bucket.' },
  { name: 's3Region', type: 'text', description: 'Region of the bucket. Without it: what the environment of the SDK says.' },
  { name: 's3Endpoint', type: 'text', description: 'Another store than that of AWS, or a private endpoint.' },
  {
    name: 's3PathStyle',
    type: 'boolean',
    default: false,
    description: '`ENDPOINT/BUCKET/KEY` instead of `BUCKET.ENDPOINT/KEY`: most stores behind an endpoint want it.',
  },
  {
    name: 's3KmsKeyId',
    type: 'text',
    description: 'SSE-KMS under this key. Without it: the encryption that the bucket has by default.',
  },
  {
    name: 'pastBoundMs',
    type: 'integer',
    default: 35 * DAY,
    least: MINUTE,
    description: 'Events older than this are refused at the edge, unless sent as history, ms.',
  },
  {
    name: 'logRetentionMs',
    type: 'integer',
    default: HOUR,
    least: 0,
    description: 'How long published records stay in the log, ms of arrival.',
  },
  {
    name: 'eventRowRetentionMs',
    type: 'integer',
    default: 0,
    least: HOUR,
    zero: true,
    description: 'How long event rows keep subject and properties, ms of event time; 0: for ever. Their keys stay.',
  },
  {
    name: 'keyRetentionMs',
    type: 'integer',
    default: 0,
    least: DAY,
    zero: true,
    fixed: true,
    description:
      'How long keys are kept, ms of event time; 0: for ever. Events older than this become `TOO_OLD`, also as history.',
  },
  {
    name: 'usageRetentionMonths',
    type: 'integer',
    default: 0,
    least: 1,
    most: 1200,
    zero: true,
    fixed: true,
    description:
      'Months of `usage_hourly` that are kept before the current one; 0: for ever. Events of earlier ones become `TOO_OLD`.',
  },
  {
    name: 'propertiesIndex',
    type: 'choice',
    default: 'off',
    choices: ['off', 'on'],
    description:
      'A GIN index on the properties of event rows, made or dropped at the start; docs/tables.md says what it costs.',
  },
  {
    name: 'maxUnsettled',
    type: 'integer',
    default: 20_000,
    least: 1,
    description: 'Records of a lineage that are read and not yet taken by every sink.',
  },
  {
    name: 'gcGraceMs',
    type: 'integer',
    default: 2000,
    least: 10,
    most: HOUR,
    description: 'How long published cells stay in the speed layer, ms.',
  },
  {
    name: 'drainMs',
    type: 'integer',
    default: 10_000,
    least: 0,
    most: HOUR,
    description: 'How long a stop waits for work under way, ms.',
  },
  {
    name: 'showStoppedMs',
    type: 'integer',
    default: 30_000,
    least: 0,
    most: HOUR,
    description:
      'How long a role that stopped for good goes on saying why on /metrics and /readyz before its process ends, ms: longer than between two scrapes. `dev` ends at once.',
  },
  {
    name: 'afterTimeoutMs',
    type: 'integer',
    default: 5000,
    least: 0,
    most: MINUTE,
    description: 'How long a query waits for the write that its `after` names, ms.',
  },
  {
    name: 'maxBodyBytes',
    type: 'integer',
    default: 5 * MIB,
    least: 1024,
    most: 64 * MIB,
    description: 'Largest request body, bytes.',
  },
  {
    name: 'maxEventsPerRequest',
    type: 'integer',
    default: 1000,
    least: 1,
    most: 10_000,
    description: 'Most events in one request.',
  },
  {
    name: 'processors',
    type: 'modules',
    default: [],
    description:
      'Modules whose `processor` sees every event before the log, in this order: names of packages, or paths that begin with `./`, `../` or `/`, relative to the file of settings, else to the working directory. Separated by commas in the environment. See [extending](extending.md).',
  },
  {
    name: 'checkProcessors',
    type: 'choice',
    default: 'on',
    choices: ['on', 'off'],
    description: 'Process every event twice and reject it where the results differ.',
  },
  {
    name: 'logModule',
    type: 'module',
    description: 'Module whose `openLog` is used instead of the PostgreSQL log. See [extending](extending.md).',
  },
  {
    name: 'privacy',
    type: 'privacy',
    description:
      'What of an event is kept, hashed or dropped before the log, by event type and path: `EVENT_TYPE: { default: keep, properties: { user.email: hash, note: drop } }`. See [extending](extending.md#privacy).',
  },
  {
    name: 'privacySecret',
    type: 'text',
    least: 32,
    secret: true,
    description:
      'What privacy hashes under, at least 32 characters. Without it a secret is minted in the data directory; with `databaseUrl` it is needed where a rule hashes.',
  },
  {
    name: 'insecure',
    type: 'boolean',
    default: false,
    description: 'Listen on other addresses than loopback, and skip the checks of Host and Origin.',
  },
  {
    name: 'logLevel',
    type: 'choice',
    default: 'info',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
    description: 'Least level of log lines.',
  },
];
