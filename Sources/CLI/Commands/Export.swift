import ArgumentParser
import Recipes

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes a model, or an adapter, for other programs.",
        discussion: """
            gguf is one file for llama.cpp and what is built on it; gguf-lora an adapter alone, for llama.cpp's --lora; \
            safetensors a Hugging Face folder; mlx the folder of an adapter for mlx-lm's --adapter-path. Adapters are merged into a model first, and what was written is read back and \
            compared.
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var outputOptions: OutputOptions

    @Option(help: "An adapter's folder; several are merged in order.")
    var adapter: [String] = []

    @Option(help: "What to make: gguf, gguf-lora, safetensors or mlx.")
    var to: ExportTarget

    @Option(help: "The file or folder to write; must not exist.")
    var output: String

    @Option(
        help: """
            How matrices are stored: f32, f16 or bf16, in gguf also q8_0, q6_k, q5_1, q5_0, q4_k, q4_1 or q4_0, in safetensors \
            also nf4. Without it f16 in gguf, f32 in gguf-lora and mlx, bf16 in safetensors.
            """)
    var type: String?

    @Flag(help: "Write the model even where it misses the tolerance.")
    var force = false

    func run() throws {
        let report = try Commands.export(
            model.settings(writesNF4: type == "nf4"), adapters: adapter, to: to, output: output, typeNamed: type,
            force: force, observer: Console().show)
        try StandardOutput.write(outputOptions.json ? report.json.text(.spaced) + "\n" : report.text)
    }
}

extension ExportTarget: ExpressibleByArgument {}
