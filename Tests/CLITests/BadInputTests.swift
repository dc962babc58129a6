import Foundation
import TestSupport
import Testing

/// A fault that someone could make, and what the program must say about it.
struct BadInput: Sendable, CustomTestStringConvertible {
    let name: String
    /// What is made wrong in a folder where everything is right.
    var prepare: @Sendable (TinyRun) throws -> Void = { _ in }
    /// The command.
    let arguments: [String]
    /// Parts of the message: the file, the place, what is wrong.
    let says: [String]
    var status: Int32 = 2

    var testDescription: String { name }

    /// A recipe's value that cannot be.
    static func setting(_ settings: String..., says: String...) -> BadInput {
        BadInput(name: settings.joined(separator: " "), arguments: TinyRun.training(settings), says: says)
    }

    /// Rows that cannot be trained on.
    static func rows(_ name: String, _ text: [UInt8], says: String...) -> BadInput {
        BadInput(
            name: name, prepare: { try $0.folder.write(text, to: "bad.jsonl") },
            arguments: TinyRun.training(["dataset.train=bad.jsonl"]), says: says)
    }

    static func rows(_ name: String, _ text: String, says: String...) -> BadInput {
        BadInput(
            name: name, prepare: { try $0.folder.write(text, to: "bad.jsonl") },
            arguments: TinyRun.training(["dataset.train=bad.jsonl"]), says: says)
    }

    /// A command that cannot be carried out.
    static func command(_ arguments: String, says: String..., status: Int32 = 2) -> BadInput {
        BadInput(
            name: arguments, arguments: arguments.split(separator: " ").map(String.init), says: says, status: status)
    }
}

@Suite struct BadInputTests {
    static let recipes: [BadInput] = [
        .setting(
            "optimizer.learning_rat=1",
            says: "--set optimizer.learning_rat=1: unknown key `optimizer.learning_rat`", "`learning_rate`"),
        .setting("optimizer.lr_scheduler_type=cosine", says: "`optimizer.lr_scheduler_type`", "`optimizer.schedule`"),
        .setting("lr=3", says: "unknown section `lr`", "`optimizer.learning_rate`"),
        .setting(
            "training.max_steps=abc", says: "`training.max_steps` must be a whole number, not the text `abc`"),
        .setting("training.max_steps=0", says: "`training.max_steps` must be a whole number at least 1, not 0"),
        .setting(
            "training.epochs=9223372036854775807", "training.max_steps=null",
            says: "`training.epochs` must be a whole number from 1 to 10000"),
        .setting("optimizer.learning_rate=nan", says: "`optimizer.learning_rate` must be a number, not the text `nan`"),
        .setting("training.threads=9999", says: "`training.threads` must be a whole number from 0 to 4096"),
        .setting("model", says: "--set model: an override is written key.path=value"),
        .setting("dataset.eval=1.5", says: "`dataset.eval` must be a path, or a share above 0 and below 1"),
        .setting("dataset.max_length=200", says: "`dataset.max_length` is 200, the model reads 128 tokens at most"),
        .setting("model.path=nowhere", says: "error: nowhere: no such file or folder"),
        .setting("model.path=org/name", says: "error: org/name: no such folder, and no such model in the Hugging Face"),
        .setting("dataset.train=missing.jsonl", says: "error: missing.jsonl: cannot open the file: No such file"),
        .setting("dataset.train=.", says: "error: .: is a folder, not a file"),
        .setting("dataset.train=rows.parquet", says: "rows.parquet: a Parquet file is not read", "Convert it"),
        .setting("dataset.eval=missing.jsonl", says: "error: missing.jsonl: cannot open the file"),
        .setting("adapter.target_modules=[nothing]", says: "no module is named nothing", "q_proj"),
        .setting("adapter.init_from=nowhere", says: "error: nowhere: no such folder"),
        .setting("adapter=null", "model.weights=bf16", says: "full fine-tuning needs `model.weights: f32`"),
        .setting("adapter=null", "model.weights=nf4", says: "weights stored as nf4 cannot be trained"),
        .setting("output.path=recipe.yaml", says: "error: recipe.yaml: a file stands where a folder is needed"),
        .setting(
            "output.path=model", says: "error: model: `output.path` is `model.path` too: the run would write over"),
        BadInput(
            name: "the model's folder by another name",
            prepare: { run in
                try FileManager.default.createSymbolicLink(
                    atPath: run.folder.file("link"), withDestinationPath: run.folder.file("model"))
            }, arguments: TinyRun.training(["output.path=link/"], ["--overwrite"]),
            says: ["error: model: `output.path` is `model.path` too"]),
        .command("train missing.yaml", says: "error: missing.yaml: cannot open the file: No such file or directory"),
        .command("train .", says: "error: .: is a folder, not a file"),
        .command("train recipe.yaml --resume", says: "error: run: there is no run to resume"),
        .command("train recipe.yaml --resume --overwrite", says: "--resume and --overwrite exclude each other"),
        .command("benchmark recipe.yaml --steps 0", says: "--steps must be at least 1"),
    ]

    static let rows: [BadInput] = [
        .rows("no row", "", says: "error: bad.jsonl: the dataset is empty"),
        .rows("blank lines only", "\n\n\n", says: "error: bad.jsonl: the dataset is empty"),
        .rows(
            "a row that is not UTF-8",
            Array(#"{"messages": [{"role": "user", "content": "a"}]}"#.utf8) + [0x0A]
                + Array(#"{"text": ""#.utf8) + [0xFF] + Array("\"}\n".utf8),
            says: "bad.jsonl: line 2: byte 10: not valid JSON: a string is not valid UTF-8"),
        .rows(
            "half a row", #"{"messages": [{"role""#, says: "error: bad.jsonl: line 1: byte", "the text ends too early"),
        .rows(
            "deep nesting", String(repeating: "[", count: 200_000),
            says: "bad.jsonl", "arrays and objects nest more than 256 deep"),
        .rows("no known keys", #"{"mesages": []}"#, says: "error: bad.jsonl: line 1:", "\"messages\"", "\"mesages\""),
        .rows(
            "an unknown role", #"{"messages": [{"role": "asistant", "content": "a"}]}"#,
            says: "bad.jsonl: line 1: messages[0].role: unknown role \"asistant\". Did you mean \"assistant\"?"),
        .rows(
            "no answer to train on", #"{"messages": [{"role": "user", "content": "a"}]}"#,
            says: "error: bad.jsonl: no token is trained: all 1 rows are dropped"),
    ]

    static let commands: [BadInput] = [
        .command(
            "evaluate --model model --data rows.jsonl --weights int4",
            says: "`--weights` must be `f32`, `bf16`, `int8` or `nf4`"),
        .command(
            "evaluate --model model --data rows.jsonl --weights int8 --double-quant true",
            says: "error: `--double-quant` needs `--weights nf4`"),
        .command(
            "evaluate --model model --data rows.jsonl --weights nf4 --double-quant yes",
            says: "error: `--double-quant` must be true or false, not `yes`"),
        .command("evaluate --model model --data missing", says: "error: missing: cannot open the file"),
        .command("evaluate --model model --data rows.jsonl --max-length 1", says: "two tokens are the least"),
        .command("evaluate --model model --data rows.jsonl --max-length 200", says: "reads 128 tokens at most"),
        .command("evaluate --model model --data rows.jsonl --stride 0", says: "stride 0: expected 1 to 127"),
        .command(
            "evaluate --model model --data rows.jsonl --train-on answers",
            says: "`--train-on` must be `assistant`, `last_turn`, `completion` or `all`, not `answers`"),
        .command(
            "evaluate --model model --data rows.jsonl --train-on completion",
            says: "rows.jsonl: line 1: train_on: completion has no meaning for a messages row"),
        .command(
            "evaluate --model model --data rows.jsonl --adapter model",
            says: "error: model: holds no adapter", "It looks like a model"),
        .command("merge --model model --adapter nowhere --output m", says: "error: nowhere: no such folder"),
        .command("merge --model model --output m", says: "--adapter"),
        .command("merge --model model --adapter model --output m --dtype f64", says: "f64", "f32"),
        .command("merge --model model --adapter a --output model", says: "error: model: the output exists already"),
        .command("merge --model model --adapter a --output /", says: "`--output` names no folder"),
        .command("export --model model --output m", says: "--to"),
        .command("export --model model --to ggml --output m", says: "ggml", "gguf-lora"),
        .command(
            "export --model model --to gguf --output m --type q8",
            says: "`--type` must be one of f32, f16, bf16, q8_0, q6_k, q5_1, q5_0,", "not `q8`. Did you mean `q8_0`?"),
        .command(
            "export --model model --to safetensors --output m --type q4_0",
            says: "`--type q4_0` is not written to safetensors. Its types are bf16, f32, f16, nf4"),
        .command("export --model model --to gguf --output model", says: "error: model: the output exists already"),
        .command("export --model model --to gguf-lora --output m", says: "one `--adapter` is written"),
        .command(
            "export --model model --to gguf-lora --output m --adapter a --adapter b", says: "to a file of its own"),
        .command("export --model model --to gguf --output m --adapter nowhere", says: "error: nowhere: no such folder"),
        .command("export --model nowhere --to gguf --output m", says: "error: nowhere: no such file or folder"),
        BadInput(
            name: "a pipe that nobody writes to", prepare: { mkfifo($0.folder.file("pipe"), 0o600) },
            arguments: ["evaluate", "--model", "model", "--data", "pipe"],
            says: ["error: pipe: is a pipe or a device, not a file"]),
        BadInput(
            name: "a tokenizer that GGUF has no name for",
            prepare: { run in
                try run.change("model/tokenizer.json") { bytes in
                    let text = String(decoding: bytes, as: UTF8.self)
                    let other = text.replacing("\"individual_digits\": true", with: "\"individual_digits\": false")
                    return Array(other.utf8)
                }
            }, arguments: ["export", "--model", "model", "--to", "gguf", "--output", "m"],
            says: ["tokenizer.json: pre_tokenizer: the tokenizer's normalizer and pre-tokenizer are those of no name"]),
        .command("generate --model model --prompt a --temperature -1", says: "--temperature"),
        .command("generate --model model --prompt a --temperature nan", says: "--temperature must not be negative"),
        .command("generate --model model --prompt a --top-p 0", says: "--top-p must be above 0 and at most 1"),
        .command("generate --model model", says: "Give --prompt or --prompts"),
        .command("generate --model model --prompt a --samples 0", says: "--samples must lie between 1 and 65536"),
        .command(
            "generate --model model --prompt a --samples 4000000000", says: "--samples must lie between 1 and 65536"),
        .command("generate --model model --prompt a --min-new-tokens 999", says: "--min-new-tokens must lie between"),
        .command("generate --model model --prompts recipe.yaml --raw --max-tokens 1 --threads -1", says: "--threads"),
        .command("generate --model model --prompts none.jsonl", says: "none.jsonl"),
        .command("generate --model model --prompt a --raw --system b", says: "a system message needs a chat template"),
        .command("compare --model model --data rows.jsonl", says: "--adapter"),
        .command("tokenize --model model --file .", says: "error: .: is a folder, not a file"),
        .command("tokenize --tokenizer model --file rows.jsonl", says: "error: model: is not a regular file"),
    ]

    @Test(arguments: recipes + rows + commands)
    func isNamed(_ input: BadInput) async throws {
        let run = try TinyRun()
        try input.prepare(run)
        let result = try await run.graft(input.arguments)
        expect(result, input)
        // Nothing is written before everything has been read.
        #expect(!run.exists("run"))
    }

    @Test func aRunIsNotWrittenOver() async throws {
        let run = try TinyRun()
        try await run.train()
        let before = try run.bytes("run/adapter_model.safetensors")
        let again = try await run.train(["training.max_steps=2"])
        #expect(again.status == 2)
        #expect(
            again.lastError == "error: run: the output folder already holds a run. --resume goes on with it, "
                + "--overwrite starts anew, --set output.path=… writes elsewhere")
        #expect(try run.bytes("run/adapter_model.safetensors") == before)
        // A fault in what --overwrite would train on is found before the old run is removed.
        let faulty = try await run.train(["dataset.train=missing"], flags: ["--overwrite"])
        #expect(faulty.status == 2)
        #expect(try run.bytes("run/adapter_model.safetensors") == before)
        let anew = try await run.train(["training.max_steps=2"], flags: ["--overwrite"])
        #expect(anew.status == 0)
        #expect(try run.metrics(of: "run").count == 2 && run.names(in: "run/checkpoints") == ["step-2"])
    }

    @Test func aLossThatIsNotFiniteEndsTheRun() async throws {
        let result = try await TinyRun().train(["optimizer.learning_rate=1e30"])
        #expect(result.status == 1)
        #expect(
            result.lastError.hasPrefix("error: the loss is not finite at step 2, micro-batch 1 of 1 (dataset rows "))
    }
}

/// Checks the message and the exit code, and that the program was not ended by a signal.
func expect(_ result: GraftRun, _ input: BadInput, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(result.status == input.status, "\(result.errors)", sourceLocation: sourceLocation)
    #expect(result.output.isEmpty, sourceLocation: sourceLocation)
    for part in input.says {
        #expect(result.errors.contains(part), "\(result.errors)", sourceLocation: sourceLocation)
    }
}
