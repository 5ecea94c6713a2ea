"""The same fault script against Headrace, LiteLLM and Portkey: what does a client see?

`cases` is the script, `gateways` how each gateway is set up, `backends` the two scripted providers,
`client` a call by OpenAI's SDK, `verdict` the word for what it saw, `run` puts them together and
`report` writes docs/faults.md.
"""
