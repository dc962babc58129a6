import Foundation
import TestSupport

/// A folder with a tiny model, a few conversations and a recipe that trains on them in a moment: what most commands need.
struct TinyRun {
    let folder: TemporaryFolder
    /// The tiny model, for commands that take one.
    static let model = Locations.fixture("models/tiny-llama")

    /// Eight steps of LoRA with dropout on two rows each, a quarter of the rows kept for evaluation.
    static let recipe = """
        model: { path: model }
        adapter: { type: lora, r: 4, lora_alpha: 8, lora_dropout: 0.1, target_modules: all-linear }
        dataset: { train: rows.jsonl, eval: 0.25, max_length: 64, rows_per_batch: 2 }
        objective: { type: sft, train_on: assistant }
        optimizer: { type: adamw, learning_rate: 1.0e-2, schedule: constant }
        training: { max_steps: 8, seed: 7, threads: 1 }
        output: { path: run, save_steps: 3, keep_checkpoints: 2 }
        """

    /// Makes the folder. The model is a copy: a test may damage it, and so may a fault of the program.
    init() throws {
        folder = try TemporaryFolder()
        try FileManager.default.copyItem(atPath: Self.model, toPath: folder.file("model"))
        try folder.write(Self.rows(24), to: "rows.jsonl")
        try folder.write(Self.recipe, to: "recipe.yaml")
    }

    /// Conversations about sums, a row a line.
    static func rows(_ count: Int) -> String {
        (0..<count).map { number in
            #"{"messages": [{"role": "user", "content": "How many is \#(number) and \#(3 * number)?"}, "#
                + #"{"role": "assistant", "content": "That makes \#(4 * number), said the miller."}]}"# + "\n"
        }.joined()
    }

    /// The variables of every run: rows are cached in the folder, not in the home of whoever runs the tests.
    var environment: [String: String] { ["XDG_CACHE_HOME": folder.file("cache")] }

    /// Runs `graft` in the folder.
    func graft(_ arguments: [String], input: String = "", limits: String? = nil) async throws -> GraftRun {
        try await Graft.run(arguments, environment: environment, in: folder.path, input: input, limits: limits)
    }

    /// Runs `graft train` with values replaced and flags added.
    @discardableResult
    func train(_ settings: [String] = [], flags: [String] = [], limits: String? = nil) async throws -> GraftRun {
        try await graft(Self.training(settings, flags), limits: limits)
    }

    /// The arguments of `graft train`.
    static func training(_ settings: [String], _ flags: [String] = []) -> [String] {
        ["train", "recipe.yaml"] + settings.flatMap { ["--set", $0] } + flags
    }

    /// Replaces a file's bytes by what `change` makes of them; nil removes the file.
    func change(_ name: String, _ change: ([UInt8]) -> [UInt8]?) throws {
        let url = URL(filePath: folder.file(name))
        let old = (try? Data(contentsOf: url)) ?? Data()
        try? FileManager.default.removeItem(at: url)
        if let new = change(Array(old)) { try folder.write(new, to: name) }
    }

    func bytes(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: folder.file(name)))) }

    func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: folder.file(name)) }

    /// The names in a folder, sorted; empty where there is none.
    func names(in folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: self.folder.file(folder))) ?? []).sorted()
    }

    /// The lines of a run's metrics without what depends on the machine: speed and memory.
    func metrics(of run: String) throws -> [String] {
        let machine = try Regex(#""tokens_per_second": [^,]*, "peak_memory_bytes": [0-9]*"#)
        return try folder.read("\(run)/metrics.jsonl").split(separator: "\n").map {
            String($0.replacing(machine, with: ""))
        }
    }
}

extension GraftRun {
    /// The last line on standard error: what went wrong, where something did.
    var lastError: String { errors.split(separator: "\n").last.map(String.init) ?? "" }
}
