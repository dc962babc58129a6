import Files
import Glibc

/// The folder in which huggingface_hub keeps what it downloaded.
///
/// A model `org/name` is `models--org--name/` there: `refs/main` holds a commit, `snapshots/<commit>/` its files. Source:
/// https://huggingface.co/docs/huggingface_hub/guides/manage-cache.
struct HuggingFaceCache {
    let path: String

    /// The cache that the variables name: `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`.
    init?(_ environment: (String) -> String?) {
        func variable(_ name: String) -> String? { environment(name).flatMap { $0.isEmpty ? nil : $0 } }
        if let cache = variable("HF_HUB_CACHE") {
            path = cache
        } else if let home = variable("HF_HOME") {
            path = home + "/hub"
        } else if let base = variable("XDG_CACHE_HOME") ?? variable("HOME").map({ $0 + "/.cache" }) {
            path = base + "/huggingface/hub"
        } else {
            return nil
        }
    }

    /// Whether a name has the form `org/name`.
    static func isRepositoryName(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count == 2
            && parts.allSatisfy { part in
                part.first?.isLetter ?? false || part.first?.isNumber ?? false
            }
            && !name.contains("--") && !name.contains("..")
    }

    /// The folder with a model's files; nil where the cache does not have it.
    ///
    /// - Throws: ``InputError`` where it has the model but not which of its versions is the newest.
    func snapshot(of name: String) throws -> String? {
        guard Self.isRepositoryName(name) else { return nil }
        let repository = path + "/models--" + name.split(separator: "/").joined(separator: "--")
        guard case .folder = PathKind(repository) else { return nil }
        let versions = folderContents(repository + "/snapshots")
        if case .file = PathKind(repository + "/refs/main") {
            let bytes = try MappedFile(repository + "/refs/main").withBytes { Array($0.prefix(200)) }
            let commit = String(decoding: bytes, as: UTF8.self).trimmingSpaces
            if versions.contains(commit) { return repository + "/snapshots/" + commit }
        }
        if versions.count == 1 { return repository + "/snapshots/" + versions[0] }
        throw InputError(
            "the Hugging Face cache does not say which of its \(versions.count) versions is 'main'", file: repository,
            hint: "Give the folder of one under snapshots/, or download the model again: hf download \(name)")
    }

    /// The models in the cache, as `org/name`.
    var models: [String] {
        folderContents(path).filter { $0.hasPrefix("models--") }.map {
            $0.dropFirst("models--".count).split(separator: "--", maxSplits: 1).joined(separator: "/")
        }
    }
}

/// The names in a folder, sorted; none where it cannot be read.
func folderContents(_ path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
}

extension String {
    /// Without white space at either end.
    fileprivate var trimmingSpaces: String {
        String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }
}
