import Files
import Glibc
import Tensors

/// Where a model lies on this machine, found from what a recipe or a command line names.
///
/// That is a Hugging Face folder, a GGUF file, or `org/name`, looked up in the local Hugging Face cache. Nothing is downloaded.
public enum ModelLocation: Equatable, Sendable {
    /// A folder with `config.json` and safetensors files.
    case folder(String)
    /// A GGUF file.
    case gguf(String)

    /// Finds a model.
    ///
    /// `environment` stands for the process's own variables: `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME` and `HOME`.
    ///
    /// - Throws: ``InputError`` saying what is at the path instead, or the nearest name, and what to do.
    public init(_ name: String, environment: (String) -> String? = Self.processEnvironment) throws {
        let path = Self.expanded(name, environment)
        switch PathKind(path) {
        case .folder: self = .folder(try Self.checked(folder: path))
        case .file: self = try Self.checked(file: path)
        case .missing:
            guard let cached = try HuggingFaceCache(environment)?.snapshot(of: name) else {
                throw Self.missing(path, environment)
            }
            self = .folder(try Self.checked(folder: cached))
        }
    }

    /// A variable of this process.
    public static func processEnvironment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// `~/…` as a shell would read it, and no slash at the end.
    private static func expanded(_ name: String, _ environment: (String) -> String?) -> String {
        var path = name
        if path.hasPrefix("~/"), let home = environment("HOME") { path = home + path.dropFirst() }
        while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
        return path
    }

    private static func checked(file: String) throws -> ModelLocation {
        let start = try MappedFile(file).withBytes { Array($0.prefix(4)) }
        // By content too: some programs keep GGUF files under names of their own.
        if file.hasSuffix(".gguf") || start == Array("GGUF".utf8) { return .gguf(file) }
        if file.hasSuffix(".safetensors") {
            throw InputError(
                "is only the weights of a model", file: file,
                hint: "Give the folder that holds it, with config.json and the tokenizer")
        }
        if isPickle(file) { throw pickleFault(file) }
        throw InputError(
            "is no model", file: file,
            hint: "Give a Hugging Face folder, a .gguf file, or org/name in the Hugging Face cache")
    }

    private static func checked(folder: String) throws -> String {
        let names = folderContents(folder)
        if !names.contains("config.json") {
            if names.contains("adapter_config.json") {
                throw InputError(
                    "holds an adapter, not a model", file: folder,
                    hint: "Give its base model, and this folder as the adapter")
            }
            let ggufs = names.filter { $0.hasSuffix(".gguf") }
            let hint =
                ggufs.first.map { "Give the file: \(folder)/\($0)" } ?? "Give a Hugging Face folder or a .gguf file"
            throw InputError("has no config.json", file: folder, hint: hint)
        }
        if names.contains(SafetensorsFolder.fileName) || names.contains(SafetensorsFolder.indexName) { return folder }
        if let pickle = names.first(where: isPickle) { throw pickleFault(folder + "/" + pickle) }
        throw InputError("has neither \(SafetensorsFolder.fileName) nor \(SafetensorsFolder.indexName)", file: folder)
    }

    private static func isPickle(_ name: String) -> Bool {
        [".bin", ".pt", ".pth", ".ckpt", ".pkl"].contains { name.hasSuffix($0) }
    }

    private static func pickleFault(_ file: String) -> InputError {
        InputError(
            "is a PyTorch pickle file, which can run code when it is opened and is not read here", file: file,
            hint: "Convert it once with transformers: AutoModelForCausalLM.from_pretrained(folder)"
                + ".save_pretrained(folder, safe_serialization=True)")
    }

    private static func missing(_ path: String, _ environment: (String) -> String?) -> InputError {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let folder = parts.dropLast().joined(separator: "/")
        let siblings = folderContents(parts.count == 1 ? "." : folder.isEmpty ? "/" : folder)
        if let near = nearestName(to: parts.last ?? "", among: siblings) {
            return InputError(
                "no such file or folder", file: path,
                hint: "Did you mean '\((parts.dropLast() + [near]).joined(separator: "/"))'?")
        }
        guard let cache = HuggingFaceCache(environment), HuggingFaceCache.isRepositoryName(path) else {
            return InputError("no such file or folder", file: path)
        }
        let hint =
            nearestName(to: path, among: cache.models).map { "Did you mean '\($0)'?" }
            ?? "Download it first: hf download \(path)"
        return InputError(
            "no such folder, and no such model in the Hugging Face cache at \(cache.path)", file: path, hint: hint)
    }
}
