import ArgumentParser
import Recipes

struct Merge: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Merges adapters into a model and proves that what was written computes the same.",
        discussion:
            "The folder appears only once it has been read back and its logits compared with those of the adapter.")

    @OptionGroup var model: ModelOptions
    @OptionGroup var outputOptions: OutputOptions

    @Option(help: "An adapter's folder; several are merged in order.")
    var adapter: [String]

    @Option(help: "The folder to write; must not exist.")
    var output: String

    @Option(help: "How weights are written: f32, f16, bf16, or nf4 for transformers and bitsandbytes.")
    var dtype = MergeType.bf16

    @Option(help: "Rows on which base, adapter, merged and re-quantised model are compared.")
    var data: String?

    @Flag(help: "Write the model even where it misses the tolerance.")
    var force = false

    func validate() throws {
        guard !adapter.isEmpty else { throw ValidationError("--adapter is missing: there is nothing to merge") }
    }

    func run() throws {
        let report = try Commands.merge(
            model.settings(writesNF4: dtype == .nf4), adapters: adapter, output: output, type: dtype,
            rows: data.map { ScoringOptions(data: $0) }, force: force, observer: Console().show)
        try StandardOutput.write(outputOptions.json ? report.json.text(.spaced) + "\n" : report.text)
    }
}

extension MergeType: ExpressibleByArgument {}
