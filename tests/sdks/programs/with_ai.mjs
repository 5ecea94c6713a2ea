// `ai` with `@ai-sdk/openai` and `@ai-sdk/anthropic`: what a test asks by a line of JSON is answered
// by one, as in lines.py. The first argument is the folder that the packages are installed in.

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { join } from 'node:path';

const load = createRequire(join(process.argv[2], 'packages.cjs'));
const { embedMany, generateText, isStepCount, Output, streamText, tool } = load('ai');
const { createOpenAI } = load('@ai-sdk/openai');
const { createAnthropic } = load('@ai-sdk/anthropic');
const { z } = load('zod');

// Warnings are logged to the output that the answers go to.
globalThis.AI_SDK_LOG_WARNINGS = false;

const FORECAST = z.object({ city: z.string(), degrees: z.number() });

function modelOf(asked) {
  const options = { baseURL: `${asked.root}/v1`, apiKey: asked.key };
  if (asked.as === 'messages') return createAnthropic(options)(asked.model);
  const openai = createOpenAI(options);
  return asked.as === 'chat' ? openai.chat(asked.model) : openai(asked.model);
}

async function run(asked, members) {
  const given = {
    model: modelOf(asked),
    instructions: 'Be short.',
    maxRetries: asked.again ?? 0,
    maxOutputTokens: asked.most,
    ...members,
  };
  return asked.stream ? streamed(given) : told(await generateText(given));
}

async function told(result) {
  const usage = await result.usage;
  return {
    text: await result.text,
    thinking: (await result.reasoningText) ?? null,
    messages: await result.responseMessages,
    usage: {
      input: usage.inputTokens,
      output: usage.outputTokens,
      cached: usage.inputTokenDetails.cacheReadTokens,
    },
  };
}

async function streamed(given) {
  const result = streamText({ ...given, onError() {} });
  const pieces = [];
  for await (const part of result.stream) {
    if (part.type === 'error') throw part.error;
    if (part.type === 'text-delta') pieces.push(part.text);
  }
  return { ...(await told(result)), pieces };
}

const user = content => ({ role: 'user', content });

const actions = {
  ask: asked => run(asked, { prompt: 'Hello' }),

  async tools(asked) {
    const called = [];
    const weather = tool({
      description: 'The weather in a city.',
      inputSchema: z.object({ city: z.string() }),
      async execute({ city }) {
        called.push(city);
        return `rain in ${city}`;
      },
    });
    const members = { prompt: 'Weather?', tools: { weather }, stopWhen: isStepCount(3) };
    return { ...(await run(asked, members)), called };
  },

  async typed(asked) {
    const output = Output.object({ schema: FORECAST });
    const result = await generateText({
      model: modelOf(asked), prompt: 'How warm is it?', output, maxRetries: 0,
    });
    return { typed: result.output };
  },

  image(asked) {
    const [, data] = asked.image.split(',');
    const picture = { type: 'file', mediaType: 'image/png', data };
    return run(asked, { messages: [user([{ type: 'text', text: 'What is this?' }, picture])] });
  },

  async turns(asked) {
    const messages = [user('Where?')];
    const first = await run(asked, { messages });
    return run(asked, { messages: [...messages, ...first.messages, user('And then?')] });
  },

  async embeddings(asked) {
    const openai = createOpenAI({ baseURL: `${asked.root}/v1`, apiKey: asked.key });
    const model = openai.embedding(asked.model);
    const { embeddings } = await embedMany({ model, values: ['a mill', 'a dog'], maxRetries: 0 });
    return { lengths: embeddings.map(each => each.length) };
  },
};

function raised(error) {
  const id = error.responseHeaders?.['x-request-id'];
  return {
    classes: [error.name ?? typeof error],
    text: `${error.message ?? JSON.stringify(error)} ${error.responseBody ?? ''}`,
    statuses: [error.statusCode],
    request_ids: id ? [id] : [],
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  let answer;
  try {
    answer = { got: await actions[asked.do](asked) };
  } catch (error) {
    answer = { raised: raised(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
