import Foundation

/// A fresh folder that is removed with all it holds when the tests are over.
public struct TemporaryFolder: Sendable {
    /// The folder's path, without a slash at its end.
    public let path: String

    /// Holds the folders of this process. It goes when the process ends, not earlier: the path is all that a running program knows of it.
    private static let parent: URL = {
        atexit { try? FileManager.default.removeItem(at: TemporaryFolder.parent) }
        let name = "graft-tests-\(ProcessInfo.processInfo.processIdentifier)"
        return FileManager.default.temporaryDirectory.appending(path: name)
    }()

    /// Makes the folder.
    public init() throws {
        let url = Self.parent.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path(percentEncoded: false)
    }

    /// The path of a name in the folder.
    public func file(_ name: String) -> String { path + "/" + name }

    /// Writes a text into the folder and returns its path.
    @discardableResult
    public func write(_ text: String, to name: String) throws -> String { try write(Array(text.utf8), to: name) }

    /// Writes bytes into the folder and returns their path.
    @discardableResult
    public func write(_ bytes: [UInt8], to name: String) throws -> String {
        let url = URL(filePath: file(name))
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: url)
        return file(name)
    }

    /// The text of a file in the folder.
    public func read(_ name: String) throws -> String { try String(contentsOfFile: file(name), encoding: .utf8) }
}
