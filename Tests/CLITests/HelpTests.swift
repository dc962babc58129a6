import TestSupport
import Testing

/// Help is part of what people rely on: a change to it must be meant.
@Suite struct HelpTests {
    @Test func ofTheProgram() async throws {
        #expect(
            try await Graft.run(["--help"]).output == """
                OVERVIEW: Fine-tunes language models on an ordinary CPU.

                A recipe is one YAML page: the model, the adapter, the rows, the objective.
                Paths in it are relative to the working folder. A model is named by a .gguf
                file, a Hugging Face folder, or org/name in the local Hugging Face cache.

                Exit codes: 0 done, 1 the run failed, 2 bad input or usage, 130 or 143 stopped
                by a signal after saving.

                USAGE: graft <subcommand>

                OPTIONS:
                  --version               Show the version.
                  -h, --help              Show help information.

                SUBCOMMANDS:
                  train                   Trains what a recipe says, and evaluates before and
                                          after.
                  inspect                 Shows what a recipe would train on, before any
                                          compute.
                  evaluate                Measures the perplexity of a model, with an adapter
                                          or without, on the rows of a file.
                  compare                 Scores the base, the adapter and the merged model on
                                          the same tokens, side by side.
                  merge                   Merges adapters into a model and proves that what was
                                          written computes the same.
                  generate                Answers a prompt.
                  chat                    Talks with a model, turn by turn; an empty line or
                                          Ctrl-D ends it.
                  tokenize                Turns lines into token ids.
                  benchmark               Measures how fast a recipe trains on this machine,
                                          without writing anything.

                  See 'graft help <subcommand>' for detailed help.

                """)
    }

    @Test func ofTokenize() async throws {
        #expect(
            try await Graft.run(["tokenize", "--help"]).output == """
                OVERVIEW: Turns lines into token ids.

                Every line of the file becomes a line of output: a JSON array of ids. No
                special tokens are added. In a .jsonl file each line is a JSON string, so that
                a text can hold newlines.

                USAGE: graft tokenize [--model <model>] [--tokenizer <file>] --file <file> [--json]

                OPTIONS:
                  --model <model>         Take this model's tokenizer.
                  --tokenizer <file>      Take this tokenizer.json.
                  --file <file>           The lines.
                  --json                  Write the result to standard output as one JSON
                                          object; everything else goes to standard error.
                  --version               Show the version.
                  -h, --help              Show help information.


                """)
    }
}
