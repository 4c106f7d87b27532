// Uploads a file with tus-js-client; the words after the address and the file say how.
import * as tus from 'tus-js-client';
import { readFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';

const [endpoint, path, ...words] = process.argv.slice(2);
const has = (word) => words.includes(word);
const bytes = readFileSync(path);

const options = {
  endpoint,
  metadata: { filename: 'a b.bin', filetype: 'application/octet-stream', note: 'ä' },
  chunkSize: has('whole') ? Infinity : 1 << 20,
  retryDelays: [100, 200, 400, 800, 1600, 3000, 3000],
  removeFingerprintOnSuccess: true,
  overridePatchMethod: has('override'),
  uploadDataDuringCreation: has('with-creation'),
};
if (has('ietf-03')) options.protocol = 'ietf-draft-03';
if (has('ietf-05')) options.protocol = 'ietf-draft-05';
if (has('parallel')) Object.assign(options, { parallelUploads: 2, retryDelays: [100] });
let source = bytes;
if (has('deferred')) {
  source = new PassThrough();
  source.end(bytes);
  options.uploadLengthDeferred = true;
}

const upload = new tus.Upload(source, {
  ...options,
  onError(error) {
    console.log(JSON.stringify({ error: String(error), url: upload.url }));
  },
  onChunkComplete(_, accepted) {
    if (has('terminate')) {
      upload.abort(true).then(() => console.log(JSON.stringify({ terminated: upload.url })));
    }
    console.error('accepted', accepted);
  },
  onSuccess() {
    console.log(JSON.stringify({ url: upload.url }));
  },
});
upload.start();
